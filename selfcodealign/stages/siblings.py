"""The matrix of siblings: every answer to an instruction against the tests of all answers to it.

Tests that were written for one answer also say something about the others. From the matrix come the share of siblings'
tests that an answer passes, the share of siblings that pass its tests, and its agreement: the answers that pass the
same tests form a group, which counts the more, the more answers it has and the more tests it passes (Chen et al. 2022,
CodeT, section 2.2).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from typing import Any

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.sandbox import Status, Verdict

#: The tests use names that the answer does not define: those of their own answer.
OTHER_NAMES = "other_names"
#: What a cell tells about the answer; other words tell nothing, or not whether it is right.
TELLING = (Status.PASSED, Status.FAILED, Status.ERROR, Status.TIMEOUT, Status.MEMORY, Status.CRASHED, Status.BLOCKED)
# Programs that ran into a limit, or were not run, take no part: each cell could take as long.
_LEFT_OUT = (Status.TIMEOUT, Status.MEMORY, Status.NOT_JUDGED, Status.NO_CODE)
# Ends of a program's own run that a plain run shares; the others may come from what is done besides.
_PLAIN = (Status.PASSED, Status.FAILED, Status.ERROR, Status.NO_TESTS)
_MISSING = ("NameError", "ImportError", "ModuleNotFoundError", "AttributeError")
_QUOTED = re.compile(r"'([^'\s]+)'")

#: Runs a response against several tests: `Sandbox.run_against`.
RunAgainst = Callable[[str, Sequence[str]], Awaitable[list[Verdict]]]


@dataclass(frozen=True, slots=True)
class Sibling:
    """One sample: its sections, and how it ended with its own tests. Empty sections: it could not be read."""

    response: str = ""
    tests: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """An answer among its siblings: a row of the matrix, and what follows for it.

    `siblings` has a place for each sample, its own included: how this answer ended against the tests of that sample,
    "" where nothing was run. The others are as the fields of `rows.Response`.
    """

    siblings: list[str] = field(default_factory=list)
    passes_siblings: float = nan
    tests_pass: float = nan
    agreement: float = nan


def unmeasured() -> dict[str, Any]:
    """What a row holds where nothing was run against its siblings' tests."""
    return asdict(Standing())


async def measure(rows: Sequence[Mapping[str, Any]], run: RunAgainst) -> list[dict[str, Any]]:
    """Return what each row holds of its standing; `rows` are all samples of one instruction, in order."""
    samples = [Sibling(*(row.get(name) or "" for name in ("response", "tests", "status"))) for row in rows]
    return list(map(asdict, await compare(samples, run)))


async def compare(samples: Sequence[Sibling], run: RunAgainst) -> list[Standing]:
    """Run each answer against the tests of the others, identical programs once, and return where each stands."""
    return rate(await fill_matrix(samples, run))


async def fill_matrix(samples: Sequence[Sibling], run: RunAgainst) -> list[list[str]]:
    """Return for each sample the words of its row, one for each sample."""
    codes, tests = zip(*(_read(sample) for sample in samples), strict=True) if samples else ((), ())
    known: dict[tuple[str, str], str] = {}
    for sample, code, own in zip(samples, codes, tests, strict=True):
        if code and own and sample.status in _PLAIN:
            known.setdefault((code, own), sample.status)
    defined = {own: _defined(code) for code, own in zip(codes, tests, strict=True) if own}
    for code in dict.fromkeys(filter(None, codes)):
        asked = [own for own in dict.fromkeys(filter(None, tests)) if (code, own) not in known]
        if asked:
            verdicts = await run(code, asked)
            for own, verdict in zip(asked, verdicts, strict=True):
                known[code, own] = _word(verdict, code, own, defined[own])
    return [[known.get((code, own), "") for own in tests] for code in codes]


def rate(matrix: Sequence[Sequence[str]]) -> list[Standing]:
    """Return where each sample stands in a matrix; one whose row is empty passed nothing and is in no group."""
    passing = [frozenset(place for place, word in enumerate(row) if word == Status.PASSED) for row in matrix]
    groups = [sum(other == own for other in passing) for own in passing]
    return [
        Standing(
            list(row) if any(row) else [],
            _share([word for place, word in enumerate(row) if place != number]),
            _share([other[number] for place, other in enumerate(matrix) if place != number]),
            float(groups[number] * len(passing[number])) if any(row) else nan,
        )
        for number, row in enumerate(matrix)
    ]


def _read(sample: Sibling) -> tuple[str, str]:
    """The code of both sections; twice "" for a sample that takes no part."""
    if not sample.response or sample.status in _LEFT_OUT:
        return "", ""
    code, tests = read_answer(sample.response).code, read_tests(sample.tests).code
    return code.rstrip().lstrip("\n"), tests.rstrip().lstrip("\n")


def _share(words: Sequence[str]) -> float:
    """The share of passes among the words that tell something; NaN where none does."""
    telling = [word for word in words if word in TELLING]
    return telling.count(Status.PASSED) / len(telling) if telling else nan


def _word(verdict: Verdict, code: str, tests: str, of_sibling: frozenset[str]) -> str:
    """The status, or `OTHER_NAMES` where the tests ended for want of a name that is not this answer's to define."""
    if verdict.status is Status.ERROR and verdict.error_type in _MISSING:
        # Only a name that is imported stands before others in its message.
        found = _QUOTED.findall(verdict.message)[:: 1 if verdict.error_type == "ImportError" else -1]
        missing = {name.rpartition(".")[2] for name in found[:1]}
        theirs = of_sibling if verdict.error_type == "AttributeError" else _words(tests)
        if missing & theirs and not missing & _words(code):
            return OTHER_NAMES
    return str(verdict.status)


def _defined(code: str) -> frozenset[str]:
    """The names of functions, classes and attributes that a code makes at any depth."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in nodes if isinstance(node, kinds)) | {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W\d]\w*", text))
