"""LiveCodeBench, code generation (Jain et al. 2024, arXiv 2403.07974): programs on standard input, and functions.

Two formats are read: the hub's `code_generation_lite` (`public_test_cases`, `private_test_cases`, the latter packed),
and the one-field packing (`test`) of SandboxFusion's samples. Packed tests are pickles; only texts and containers are
read from them, never objects. Every test must pass within six seconds, as in LiveCodeBench's runner.

A name chooses a release and a window of contest dates: `livecodebench-release-v5`, `livecodebench-v6` (only what
release 6 added), `livecodebench-v4-v5`, `livecodebench@2024-08..2025-01`. Two scores: the first compares printed
numbers exactly, as LiveCodeBench does; `…-approx` lets printed floats differ by 1e-6.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from selfcodealign.benchmarks import Problem
from selfcodealign.benchmarks.differential import CallProblem, DifferentialBenchmark
from selfcodealign.benchmarks.inside.scripts import PRELUDE
from selfcodealign.benchmarks.inside.time_limit import by_clock
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.benchmarks.programs import judge_program
from selfcodealign.errors import BenchmarkError

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program

#: Time limit of one test.
SECONDS = 6.0
_WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
_WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows."
)
_STARTER = re.compile(r"```python\n(class Solution.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptProblem(Problem):
    """A task judged by (input, expected output) texts."""

    tests: Sequence[tuple[str, str]]


#: The hub's files: each release added one.
FILES = ("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl")
_SOURCE = Source(
    hub="livecodebench/code_generation_lite",
    files=FILES,
    versions={"9d132fc2790ae98b63f729e73d2c2d7b": "SandboxFusion samples v1"},
)
_NAME = re.compile(
    r"livecodebench(?:-(?:release[-_](?:latest|v(?P<release>[1-6]))|v(?P<first>[1-6])(?:[-_]v(?P<last>[1-6]))?))?"
    r"(?:@(?P<since>\d{4}-\d\d(?:-\d\d)?)?\.\.(?P<until>\d{4}-\d\d(?:-\d\d)?)?)?"
)


class LiveCodeBench(DifferentialBenchmark[Problem]):
    """Both kinds of problems from one file; `group` is the difficulty."""

    pick = "last"

    def __init__(self, name: str = "livecodebench") -> None:
        """Raises `BenchmarkError` for a name that is no release and window."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise BenchmarkError(
                f'no benchmark "{name}": LiveCodeBench is livecodebench, with a release (-release-v5: all up to the '
                "fifth; -v5: what the fifth added; -v4-v5), a window (@2024-08..2025-01-15) or both"
            )
        release, first, last = (int(found[part] or 0) for part in ("release", "first", "last"))
        files = FILES[first - 1 : last or first] if first else FILES[: release or None]
        if not files:
            raise BenchmarkError(f"{name}: the last release is before the first")
        self._since, self._until = found["since"] or "", found["until"] or ""
        self.name = name
        self.source = replace(_SOURCE, files=files)
        self.scores = (name, f"{name}-approx")

    def problems(self, rows: Sequence[Row]) -> list[Problem]:
        inside = [row for row in rows if self._is_inside(row)]
        if rows and not inside:
            dates = sorted(str(row["contest_date"])[:10] for row in rows)
            raise BenchmarkError(f"{self.name}: no problem is of these dates; the file has {dates[0]} to {dates[-1]}")
        return [self._read(row) for row in inside]

    def _is_inside(self, row: Row) -> bool:
        """Whether the contest was in the window, both ends included."""
        if not (self._since or self._until):
            return True
        check_fields(self.name, row, ("contest_date",))
        date = str(row["contest_date"])[:10]
        since, until = date[: len(self._since)] >= self._since, date[: len(self._until)] <= self._until
        return since and until

    def _read(self, row: Row) -> Problem:
        if "test" in row and "content" in row:
            labels = json.loads(row["labels"]) if isinstance(row.get("labels"), str) else row.get("labels", {})
            tests = json.loads(_unpack(row["test"])["input_output"])
            found = _STARTER.search(row["content"])
            task_id = labels.get("task_id", str(row.get("id", "")))
            return _make(task_id, row["content"], found[1] if found else "", labels.get("difficulty", ""), tests)
        check_fields(self.name, row, ("question_id", "question_content", "starter_code", "metadata"))
        check_fields(self.name, row, ("public_test_cases", "private_test_cases"))
        cases = [*_read_cases(row["public_test_cases"]), *_read_cases(row["private_test_cases"])]
        metadata = json.loads(row["metadata"]) if isinstance(row["metadata"], str) else row["metadata"]
        tests = {
            "inputs": [case["input"] for case in cases],
            "outputs": [case["output"] for case in cases],
            "fn_name": (metadata or {}).get("func_name"),
        }
        question = _ask(row["question_content"], row["starter_code"])
        return _make(str(row["question_id"]), question, row["starter_code"], row.get("difficulty", ""), tests)

    def weight(self, problem: Problem) -> float:
        return float(len(problem.tests)) if isinstance(problem, ScriptProblem) else super().weight(problem)

    def program(self, problem: Problem, codes: Sequence[str]) -> Program:
        if isinstance(problem, ScriptProblem):
            # The judge enforces the limits; this one is for the case that it cannot.
            seconds = 2 * len(codes) * len(problem.tests) * by_clock(SECONDS) + 30
            data = {"tests": list(problem.tests), "answers": list(codes), "seconds": SECONDS}
            return judge_program("scripts", data, seconds)
        return super().program(problem, [PRELUDE + code for code in codes])

    def suite_names(self, problem: Problem) -> tuple[str, ...]:
        return ("tests", "approx") if isinstance(problem, ScriptProblem) else super().suite_names(problem)

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        exact, approx = self.scores
        return {exact: passed["tests"], approx: passed.get("approx", passed["tests"])}


def _make(task_id: str, question: str, starter: str, difficulty: str, tests: dict[str, Any]) -> Problem:
    texts: dict[str, Any] = {"task_id": task_id, "prompt": "", "instruction": question, "group": difficulty}
    inputs, outputs = tests["inputs"], tests["outputs"]
    if len(inputs) != len(outputs) or not inputs:
        raise BenchmarkError(f"livecodebench: {task_id} has {len(inputs)} inputs and {len(outputs)} outputs")
    if not tests.get("fn_name"):
        return ScriptProblem(**texts, tests=list(zip(inputs, outputs, strict=True)))
    # One argument per line, each as JSON.
    calls = [[_read_value(line) for line in text.split("\n")] for text in inputs]
    return CallProblem(
        **texts,
        entry_point=tests["fn_name"],
        suites={"tests": calls},
        shown={"tests": calls},
        expected={"tests": [_read_value(text) for text in outputs]},
        rule="equal",
        oracle="",
        floor=SECONDS,
        total=SECONDS * len(calls),
    )


def _read_value(text: str) -> Any:
    # Python refuses to read an `int` of more than 4300 digits; `Decimal` reads any.
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4300 else int(Decimal(digits)))


def _ask(question: str, starter: str) -> str:
    """Return the question in LiveCodeBench's wording for chat models."""
    words, code = (_WITH_STARTER, starter) if starter else (_WITHOUT_STARTER, "# YOUR CODE HERE")
    form = f"{words}\n```python\n{code}\n```"
    return (
        f"### Question:\n{question}\n\n### Format: {form}\n\n### Answer: (use the provided format with backticks)\n\n"
    )


class _Texts(pickle.Unpickler):
    """Unpickles texts, numbers and containers; refuses every class and function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _unpack(packed: str) -> Any:
    try:
        return _Texts(io.BytesIO(zlib.decompress(base64.b64decode(packed)))).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, IndexError, ValueError) as error:
        raise BenchmarkError(f"livecodebench: the packed tests of a problem cannot be read: {error}") from None


def _read_cases(text: str) -> list[dict[str, str]]:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(_unpack(text))
