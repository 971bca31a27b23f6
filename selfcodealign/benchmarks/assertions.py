"""Benchmarks whose tests are assertions in Python: run behind the solution, all have to hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Outcome, Problem, not_judged

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: What a solution and its tests may take together, where the benchmark does not say.
SECONDS = 15.0
_MISSING = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionProblem(Problem):
    """A task judged by `tests`, code that runs behind the solution; `libraries` are modules it cannot do without."""

    tests: str
    libraries: tuple[str, ...] = ()


def assertion_program(problem: AssertionProblem, codes: Sequence[str], seconds: float = SECONDS) -> Program:
    """The solution and the tests; only one solution at a time."""
    from selfcodealign.sandbox import Limits, Program

    (code,) = codes
    return Program(response=code, tests=problem.tests, kind="check", limits=Limits(seconds=seconds), strength=False)


def assertion_outcome(score: str, verdict: Verdict, libraries: Sequence[str] = ()) -> list[Outcome]:
    """Pass or fail in one score; a missing one of `libraries` is the machine's fault, not the answer's."""
    missing = _MISSING.search(verdict.message) if verdict.error_type == "ModuleNotFoundError" else None
    if missing and missing[1].partition(".")[0] in libraries:
        return [not_judged(f"the benchmark needs the library {missing[1]}, which is not installed here")]
    if verdict.status == "not_judged":
        return [not_judged(verdict.message)]
    detail = "" if verdict.passed else ": ".join(part for part in (verdict.error_type, verdict.message) if part)
    values = {score: float(verdict.passed)}
    return [Outcome(status=str(verdict.status), values=values, detail=detail, seconds=verdict.seconds)]


def imported_modules(code: str) -> tuple[str, ...]:
    """The top-level names of all modules that a text of code imports, also in the texts of code inside it."""
    names: set[str] = set()
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            names |= set(imported_modules(node.value))
    return tuple(sorted(names))
