"""Tasks of this world: their data, their wrong versions and tests, and checks by execution."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

HELD_OUT_PERCENT = 12


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Shares of the corpus that are wrong on purpose: solutions of tasks with a trap, other solutions, and tests."""

    traps: float = 0.75
    plain: float = 0.15
    tests: float = 0.0


@dataclass(slots=True)
class Task:
    """A task of one key (family and composition) with drawn constants.

    `wrong` are behaviour-changing versions of `code`, the most common first; `asserts` are pairs of (argument literals,
    expected expression) of which tests show two; `cases` are further argument literals for hidden tests, whose expected
    values come from running `code`.
    """

    key: tuple[str, ...]
    name: str
    arguments: str
    description: str
    code: str
    wrong: list[str]
    trap: bool
    asserts: list[tuple[str, str]]
    cases: list[str]
    category: str = "function"
    instruction: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def difficulty(self) -> str:
        return ("easy", "easy", "medium", "hard")[min(len(self.key) - 1, 3)]


def is_held_out(key: Sequence[str]) -> bool:
    """Return whether this composition is held out for evaluation; single parts never are."""
    return len(key) > 2 and _percentile(key) < HELD_OUT_PERCENT


def is_development(key: Sequence[str]) -> bool:
    """Return whether a held-out composition belongs to the development third, on which settings are chosen."""
    return is_held_out(key) and _percentile(["split", *key]) < 33


def _percentile(key: Sequence[str]) -> int:
    return int.from_bytes(blake2b("|".join(key).encode(), digest_size=4).digest(), "big") % 100


def run_code(code: str) -> dict[str, Any]:
    """Execute code of this world (trusted, with bounded loops) and return its definitions."""
    scope: dict[str, Any] = {}
    exec(compile(code, "<world>", "exec"), scope)
    return scope


def evaluate(scope: dict[str, Any], expression: str) -> Any:
    """Return the value of an expression, or the type of the exception that it raises."""
    try:
        return eval(expression, scope)
    except Exception as error:  # an exception is part of a wrong version's behaviour
        return type(error)


def same(left: Any, right: Any) -> bool:
    """Return whether value and type are equal; `==` alone takes True for 1."""
    return type(left) is type(right) and left == right


def passes_hidden(task: Task, code: str) -> bool:
    """Return whether `code` behaves like the reference on every hidden case (calls of `task.name`)."""
    try:
        tried = run_code(code)
    except Exception:  # a program that cannot be loaded is wrong
        return False
    reference = run_code(task.code)
    return all(
        same(evaluate(tried, call), evaluate(reference, call))
        for call in (call_of(task, arguments) for arguments in task.cases)
    )


def call_of(task: Task, arguments: str) -> str:
    """Write the call of the task's function or class; for a class, `extra` holds its form."""
    return task.extra.get("call", "{name}({arguments})").format(name=task.name, arguments=arguments)


def choose_asserts(task: Task, rng: random.Random, tries: int = 6) -> list[str]:
    """Choose two asserts with different expected values among `tries` draws: the pair that most wrong versions fail.

    Raises `AssertionError` if an expectation contradicts the reference, which is a bug of this world.
    """
    reference = run_code(task.code)
    broken = [run_code(code) for code in task.wrong]
    best: tuple[int, list[tuple[str, str]]] = (-1, [])
    for _ in range(tries):
        pair = rng.sample(task.asserts, 2)
        values = [evaluate({}, expected) for _, expected in pair]
        if same(*values):
            continue
        noticed = sum(
            any(
                not same(evaluate(scope, call_of(task, call)), value)
                for (call, _), value in zip(pair, values, strict=True)
            )
            for scope in broken
        )
        if noticed > best[0]:
            best = (noticed, pair)
        if noticed == len(broken):
            break
    if not best[1]:
        raise LookupError(f"{task.key}: no two asserts with different values")
    for call, expected in best[1]:
        value = evaluate(reference, call_of(task, call))
        assert same(value, evaluate({}, expected)), (task.key, task.code, call, expected, value)
    return [f"assert {call_of(task, call)} == {expected}" for call, expected in best[1]]


def keep_wrong(task: Task) -> None:
    """Drop wrong versions that behave like the reference on the hidden cases, and copies."""
    task.wrong = [code for code in dict.fromkeys(task.wrong) if code != task.code and not passes_hidden(task, code)]


def exchange_values(asserts: Sequence[str]) -> list[str]:
    """Exchange the expected values of two asserts that expect different values: each is wrong then."""
    (call, _, value), (other, _, other_value) = (text.rpartition(" == ") for text in asserts)
    return [f"{call} == {other_value}", f"{other} == {value}"]


def draw_solution(task: Task, rng: random.Random, mistakes: Mistakes) -> tuple[str, bool]:
    """Draw a solution for the corpus and whether it is right; the error rate depends on the task's parts."""
    rate = mistakes.traps if task.trap else mistakes.plain
    if not task.wrong or rng.random() >= rate:
        return task.code, True
    usual = 0 if rng.random() < 0.9 else rng.randrange(len(task.wrong))
    return task.wrong[usual], False


Generator = Callable[[random.Random], Task]
