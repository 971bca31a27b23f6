"""Benchmarks whose tests are Python assertions: they run after the solution, and all must hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Grade, Problem, not_judged

if TYPE_CHECKING:
    from selfcodealign.sandbox import Limits, Program, Verdict

#: CPU time limit of a solution with its tests, where the benchmark sets none.
SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionProblem(Problem):
    """A task judged by `tests`, code that runs after the solution; `libraries` are the modules that it requires."""

    tests: str
    libraries: tuple[str, ...] = ()


def assertion_program(problem: AssertionProblem, codes: Sequence[str], seconds: float = SECONDS) -> Program:
    """Return the program that runs the tests on a solution; `codes` holds one solution."""
    from selfcodealign.sandbox import Program

    (code,) = codes
    # `inspect.getsource`, which some tests use, then finds an answer's text as if it were a file.
    tests = (
        f"import linecache as __linecache\n__lines = {code!r}.splitlines(True)\n"
        f"for __name in ('<response>', 'solution.py'): __linecache.cache[__name] = (1, None, __lines, __name)\n"
        f"{problem.tests}"
        if "getsource" in problem.tests
        else problem.tests
    )
    return Program(
        response=fence(code), tests=fence(tests), kind="check", limits=limit_cpu(seconds), mutation_testing=False
    )


def limit_cpu(seconds: float) -> Limits:
    """Return limits of `seconds` of CPU time; a program that only waits has twice as long by the clock."""
    from selfcodealign.sandbox import Limits

    return Limits(seconds=2 * seconds, cpu_seconds=seconds)


def fence(code: str) -> str:
    """Return code as one Markdown block, also where the code contains fences (in a docstring)."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    mark = "`" * (longest + 1)
    return f"{mark}python\n{code}\n{mark}\n"


def assertion_outcome(score: str, verdict: Verdict, problem: AssertionProblem) -> list[Grade]:
    """Return pass or fail in one score; what the machine lacks or forbids is not the answer's fault."""
    if not verdict.passed:
        reason = missing_library(problem.libraries)
        if "inspect.stack" in problem.tests + problem.reference and "not available in the sandbox" in verdict.message:
            reason = "the task looks at the call stack, which the sandbox forbids"
        if verdict.status == "not_judged":
            reason = verdict.message
        if reason:
            return [not_judged(reason)]
    detail = "" if verdict.passed else ": ".join(part for part in (verdict.error_type, verdict.message) if part)
    values = {score: float(verdict.passed)}
    return [Grade(status=str(verdict.status), values=values, detail=detail, seconds=verdict.seconds)]


def missing_library(libraries: Sequence[str]) -> str:
    """Name a library that the benchmark requires and this interpreter lacks; "" when all are installed."""
    for name in libraries:
        if name not in sys.modules and find_spec(name) is None:
            return f"the benchmark needs the library {name}, which is not installed here"
    return ""


def imported_modules(code: str) -> tuple[str, ...]:
    """Return the top-level names of all modules that code imports, also in code inside its string constants."""
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
