"""What a task of the world is, and how one is put together, broken, tested and checked by execution."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

HELD_OUT_PERCENT = 12
TRAP_RATE = 0.75
PLAIN_RATE = 0.15


@dataclass(slots=True)
class Task:
    """A task of one key (family and composition) with its constants drawn.

    `wrong` are behaviour-changing versions of `code`, the most usual first; `asserts` are pairs of (argument literals,
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
    """Whether tasks of this composition are kept for evaluation; parts on their own are always learnt."""
    return len(key) > 2 and _percentile(key) < HELD_OUT_PERCENT


def is_development(key: Sequence[str]) -> bool:
    """Whether a held-out composition belongs to the development third, on which settings are chosen."""
    return is_held_out(key) and _percentile(["split", *key]) < 33


def _percentile(key: Sequence[str]) -> int:
    return int.from_bytes(blake2b("|".join(key).encode(), digest_size=4).digest(), "big") % 100


def run_code(code: str) -> dict[str, Any]:
    """Execute code of this world (trusted, loops bounded) and return what it defines."""
    scope: dict[str, Any] = {}
    exec(compile(code, "<world>", "exec"), scope)
    return scope


def evaluate(scope: dict[str, Any], expression: str) -> Any:
    """The value of an expression, or the exception's type where it raises one."""
    try:
        return eval(expression, scope)
    except Exception as error:  # what a wrong version raises is its behaviour
        return type(error)


def same(left: Any, right: Any) -> bool:
    """Equal in value and type; `==` alone would take True for 1."""
    return type(left) is type(right) and left == right


def passes_hidden(task: Task, code: str) -> bool:
    """Whether `code` behaves as the reference does on every hidden case (calls of `task.name`)."""
    try:
        tried = run_code(code)
    except Exception:  # a program that cannot even be loaded is a wrong program
        return False
    reference = run_code(task.code)
    return all(
        same(evaluate(tried, call), evaluate(reference, call))
        for call in (call_of(task, arguments) for arguments in task.cases)
    )


def call_of(task: Task, arguments: str) -> str:
    """The expression that calls the task's function or class; classes say how in `extra`."""
    return task.extra.get("call", "{name}({arguments})").format(name=task.name, arguments=arguments)


def choose_asserts(task: Task, rng: random.Random, tries: int = 6) -> list[str]:
    """Two asserts with different expected values, chosen among `tries` draws as those that most mistakes fail.

    Raises `AssertionError` when an expectation contradicts the reference: a fault of the world, not of the draw.
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
    """Drop the versions that behave like the reference on the hidden cases, and copies."""
    task.wrong = [code for code in dict.fromkeys(task.wrong) if code != task.code and not passes_hidden(task, code)]


def draw_solution(task: Task, rng: random.Random) -> tuple[str, bool]:
    """A solution as the corpus shows it and whether it is right; mistakes follow the rate of the task's parts."""
    rate = TRAP_RATE if task.trap else PLAIN_RATE
    if not task.wrong or rng.random() >= rate:
        return task.code, True
    usual = 0 if rng.random() < 0.9 else rng.randrange(len(task.wrong))
    return task.wrong[usual], False


Generator = Callable[[random.Random], Task]
