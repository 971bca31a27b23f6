"""Versions of one program, one after the other in one process: mutants with the original among them, or other tests.

The first version is the original, whose turns bound those of the others. Each version has its own module,
evidence and report, so that one that ends the process takes no earlier result with it. A response cannot tell from a
count of its runs which is the original: another process draws the places, and repeats all versions in processes of
their own when the original does not pass at each of them.

With other tests (`against`), the response is the same each time and its turns are not bounded. A version that leaves
threads behind ends the process, so that none runs beside another's tests.
"""

from __future__ import annotations

import _thread
import ast
import contextvars
import gc
import os
import random
from collections.abc import Callable
from dataclasses import replace
from types import CodeType
from typing import Any

from selfcodealign.sandbox.language import BuildError
from selfcodealign.sandbox.python.build import (
    RESPONSE_FILE,
    UNBUILDABLE,
    Built,
    ResponsePart,
    TooCostly,
    build_program,
    is_safe_to_parse,
)
from selfcodealign.sandbox.python.evidence import describe_build_error, describe_tampering
from selfcodealign.sandbox.python.instrument import mark_functions
from selfcodealign.sandbox.python.mutants import OTHER, Mutants, tolerate_examples
from selfcodealign.sandbox.python.ready import Ready
from selfcodealign.sandbox.python.restore import Surroundings
from selfcodealign.sandbox.python.turns import TURN, UNBOUNDED, Turns, budget_of, mark_turns
from selfcodealign.sandbox.python.values import make_other

Send = Callable[[dict[str, Any]], None]


def build_together(job: dict[str, Any]) -> list[Any]:
    """Build all versions: the code of a response, a packed program where tests are inside, or what refused it."""
    if job["against"]:
        return _build_against(job)
    build = _build_whole if job["tests_inside"] else _make_builder(job)
    parts: dict[str | None, Any] = {}
    for version in job["versions"]:
        if version not in parts:
            try:
                parts[version] = build(job, version)
            except BuildError as error:
                parts[version] = describe_build_error(error)
            except (LookupError, ValueError) as error:  # a name that no report of the harness holds
                parts[version] = describe_build_error(BuildError("build", error))
    return [parts[version] for version in job["versions"]]


def _build_whole(job: dict[str, Any], version: str | None) -> tuple[Any, ...]:
    return build_program(job, version).pack()


def _build_against(job: dict[str, Any]) -> list[Any]:
    """Build the response with each of the tests. Raises `TooCostly` where the server builds."""
    cheap = job["only_cheap"]
    if cheap and not all(is_safe_to_parse(job | {"tests": tests}) for tests in job["against"]):
        raise TooCostly
    try:
        part = ResponsePart(job["response"], cheap)
    except BuildError as error:
        return [_describe_unbuilt(error, cheap)] * len(job["against"])
    parts = {tests: _build_one(job | {"tests": tests}, cheap, part) for tests in set(job["against"])}
    return [parts[tests] for tests in job["against"]]  # some run twice


def _build_one(program: dict[str, Any], cheap: bool, part: ResponsePart) -> Any:
    try:
        built = build_program(program, only_cheap=cheap, part=part)
    except BuildError as error:
        return _describe_unbuilt(error, cheap)
    return built.pack() if built.tampering is None else describe_tampering(built.tampering)


def _describe_unbuilt(error: BuildError, cheap: bool) -> dict[str, Any]:
    """Describe a text that is no program; one that is too deep for the server is tried by the process. `TooCostly`."""
    if cheap and isinstance(error.cause, RecursionError):
        raise TooCostly from None
    return describe_build_error(error)


def surrounding(parts: list[Any]) -> Built:
    """What stands for all `parts` where surroundings are restored: it uses and patches what one of them does."""
    found = [Built.unpack(part) for part in parts if not isinstance(part, dict)] or [Built(_NOTHING, _NOTHING)]
    return replace(
        found[0],
        uses_unittest=any(one.uses_unittest for one in found),
        uses_doctest=any(one.uses_doctest or one.doctests for one in found),
        may_patch=any(one.may_patch for one in found),
    )


_NOTHING = compile("", RESPONSE_FILE, "exec")


def _make_builder(job: dict[str, Any]) -> Callable[[dict[str, Any], str | None], CodeType]:
    """Parse and mark the response once; mutants change the tree and change it back. Raises `BuildError`."""
    try:
        tree = ast.parse(job["response"], RESPONSE_FILE)
        mutants = Mutants(tree)
        tolerate_examples(tree)
        mark_functions(tree, job["response"])
        mark_turns(tree)
    except UNBUILDABLE as error:
        raise BuildError("build", error) from None

    def build(job: dict[str, Any], version: str | None) -> CodeType:
        try:
            if version is None:
                return compile(tree, RESPONSE_FILE, "exec", dont_inherit=True)
            with mutants.applied(version):
                return compile(tree, RESPONSE_FILE, "exec", dont_inherit=True)
        except UNBUILDABLE as error:
            raise BuildError("build", error) from None

    return build


class Together:
    """Runs versions in the calling process. Create it before foreign code runs."""

    def __init__(
        self,
        make_ready: Callable[[Built], Ready],
        whole: Built,
        parts: list[Any],
        folder: str,
        *,
        are_mutants: bool = True,
    ) -> None:
        """`are_mutants`: the turns of the first version bound the others."""
        self._are_mutants = are_mutants
        self._make_ready = make_ready
        self._whole = whole
        self._parts = parts
        codes = [part for part in parts if isinstance(part, CodeType)][:1]
        if not are_mutants and whole.may_patch:
            codes = [Built.unpack(part).tests for part in parts if not isinstance(part, dict)]
        self._surroundings = Surroundings(
            [whole.response, whole.tests, *codes],
            uses_libraries=whole.uses_unittest or whole.uses_doctest or bool(whole.doctests),
            may_patch=whole.may_patch,
            folder=folder,
        )

    def run(self, turns_of_original: int | None, send: Send) -> None:
        """Run all versions and send a report on each: its number, its summary, the values it changed, its turns.

        The turns of the original bound those of the others; where they are not known, the first version gives them.
        """
        get_pid, leave = os.getpid, os._exit
        count_threads = _thread._count
        threads = count_threads()
        own_pid, budget = get_pid(), UNBOUNDED if turns_of_original is None else budget_of(turns_of_original)
        for number, part in enumerate(self._parts):
            if isinstance(part, dict):
                send({"version": number, "summary": part, "changed": 0, "turns": 0})
                continue
            turns = Turns(budget)
            summary, changed = self._run_one(part, turns, send, own_pid)
            if get_pid() != own_pid:  # a fork of the program also gets here
                leave(0)
            send({"version": number, "summary": summary, "changed": changed, "turns": turns.used})
            if budget == UNBOUNDED and self._are_mutants:
                budget = budget_of(turns.used)
            self._surroundings.restore(turns.end)
            if not self._are_mutants and count_threads() > threads:
                leave(0)

    def _run_one(self, part: Any, turns: Turns, send: Send, own_pid: int) -> tuple[dict[str, Any], int]:
        built = replace(self._whole, response=part, mutants=[]) if isinstance(part, CodeType) else Built.unpack(part)
        ready = self._make_ready(built)
        evidence = ready.evidence
        other, count_changed = make_other(RESPONSE_FILE, tests_inside=not isinstance(part, CodeType))
        ready.namespace.update({TURN: turns.take, OTHER: other})
        evidence.connect(send, own_pid)
        ready.enter()
        random.seed(0)
        gc.enable()
        contextvars.Context().run(ready.make_phases())
        summary = evidence.summary()
        if turns.spent and not summary["failures"]:  # like the clock: not by an assertion, whoever caught it
            summary |= {"end": False, "error": _OUT_OF_TURNS | {"phase": summary["phase"]}}
        return summary, count_changed()


_OUT_OF_TURNS: dict[str, Any] = {"type": "OutOfTurns", "message": "many times the original's turns", "line": 0}
_OUT_OF_TURNS |= {"in_tests": False, "errno": 0, "is_assertion": False, "at_site": False}
