"""Benchmarks whose tests are assertions in Python: run behind the solution, all have to hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Outcome, Problem, not_judged

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: What a solution and its tests may take together, where the benchmark does not say.
SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionProblem(Problem):
    """A task judged by `tests`, code that runs behind the solution; `libraries` are modules it cannot do without."""

    tests: str
    libraries: tuple[str, ...] = ()


def assertion_program(problem: AssertionProblem, codes: Sequence[str], seconds: float = SECONDS) -> Program:
    """The solution and the tests; only one solution at a time."""
    from selfcodealign.sandbox import Limits, Program

    (code,) = codes
    # `inspect.getsource` finds an answer's text as if it were a file, which some tests look at.
    tests = (
        f"import linecache as __linecache\n__lines = {code!r}.splitlines(True)\n"
        f"for __name in ('<response>', 'solution.py'): __linecache.cache[__name] = (1, None, __lines, __name)\n"
        f"{problem.tests}"
        if "getsource" in problem.tests
        else problem.tests
    )
    limits = Limits(seconds=seconds)
    return Program(response=fence(code), tests=fence(tests), kind="check", limits=limits, mutation_testing=False)


def fence(code: str) -> str:
    """Code as a Markdown block that stays whole, also where the code holds fences of its own (in a docstring)."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    mark = "`" * (longest + 1)
    return f"{mark}python\n{code}\n{mark}\n"


def assertion_outcome(score: str, verdict: Verdict, problem: AssertionProblem) -> list[Outcome]:
    """Pass or fail in one score; what the machine lacks or forbids is not the answer's fault."""
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
    return [Outcome(status=str(verdict.status), values=values, detail=detail, seconds=verdict.seconds)]


def missing_library(libraries: Sequence[str]) -> str:
    """Says which library a benchmark needs and this interpreter lacks; "" when all are there."""
    for name in libraries:
        if name not in sys.modules and find_spec(name) is None:
            return f"the benchmark needs the library {name}, which is not installed here"
    return ""


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
