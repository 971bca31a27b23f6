"""MBPP (Austin et al. 2021, arXiv 2108.07732) and MBPP+ (Liu et al. 2023, arXiv 2305.01210).

Three formats are read: EvalPlus's release file (inputs, compared with the reference's values), and Google's full and
sanitized files (`test_list` of assertions). MBPP+ is reported as EvalPlus does: `mbpp` uses the base inputs, `mbpp+`
requires the base inputs and the extra ones. The assertions of the original files differ from EvalPlus's base inputs,
and so do their verdicts on some answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selfcodealign.benchmarks import Problem
from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.assertions import AssertionProblem
from selfcodealign.benchmarks.differential import CallProblem, DifferentialBenchmark
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.errors import BenchmarkError

# EvalPlus's file serves `mbpp`, too: its base inputs.
_PLUS_VERSIONS = {
    "ebe95df0d5220f00cedd6f4bddea35e4": "MBPP+ v0.1.0 (399 tasks)",
    "ee43ecabebf20deef4bb776a405ac5b1": "MBPP+ v0.2.0 (378 tasks)",
}
OFFICIAL = Source(
    hub="google-research-datasets/mbpp",
    config="sanitized",
    versions={
        "f50124cdd150eac633c8e26828e0b3c1": "MBPP (974 tasks)",
        "7db38e432e660b7f832d859bcc87ec4d": "MBPP sanitized (427 tasks)",
    }
    | _PLUS_VERSIONS,
)
PLUS = Source(
    url="https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz",
    versions=_PLUS_VERSIONS,
)

Arguments = list[Any]


def _each(inner: Callable[[Any], Any]) -> Callable[[Any], list]:
    return lambda items: [inner(item) for item in items]


def _deep(value: Any) -> Any:
    return tuple(_deep(item) for item in value) if isinstance(value, list) else value


def _first(convert: Callable[[Any], Any]) -> Callable[[Arguments], Arguments]:
    return lambda arguments: [convert(arguments[0]), *arguments[1:]]


def _set_or_empty(item: Any) -> Any:
    # The reference's authors made empty lists empty dictionaries there.
    return set(item) if isinstance(item, list) and item else {}


# JSON has no tuples, sets or complex numbers: these conversions give the arguments their types (facts of EvalPlus's
# loader, evalplus/data/mbpp.py; checked by running every reference).
_SHAPES: list[tuple[tuple[int, ...], Callable[[Arguments], Arguments]]] = [
    (
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
        _each(tuple),
    ),
    ((63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780), _each(_each(tuple))),
    ((75, 413, 444, 753), _first(_each(tuple))),
    ((106, 750), lambda arguments: [arguments[0], tuple(arguments[1])]),
    ((115,), _first(_each(_set_or_empty))),
    ((124,), lambda arguments: [float(arguments[0]), complex(arguments[1])]),
    ((250, 307, 405, 446, 617, 720, 763, 808), _first(tuple)),
    ((252,), lambda arguments: [complex(arguments[0])]),
    ((259, 278, 401, 445), lambda arguments: [tuple(map(_shallow, argument)) for argument in arguments]),
    ((580, 615, 791), _each(_deep)),
    ((722,), _first(lambda table: {key: tuple(value) for key, value in table.items()})),
]


def _shallow(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item


_SHAPE_OF = {number: shape for numbers, shape in _SHAPES for number in numbers}


def shape_calls(task_id: str, calls: Sequence[Arguments]) -> list[Arguments]:
    """Return the calls of an MBPP+ task with their arguments' original types, from its JSON."""
    shape = _SHAPE_OF.get(int(task_id.rpartition("/")[2]))
    return [list(call) if shape is None else shape(list(call)) for call in calls]


class Mbpp(DifferentialBenchmark[Problem]):
    """`plus` runs the extra inputs as well."""

    begins_program = True
    completion_stop = ('\n"""', "\nassert", "\nif __name__", "\nprint(", "\n```")

    def __init__(self, plus: bool) -> None:
        self.plus = plus
        self.name = "mbpp+" if plus else "mbpp"
        self.source = PLUS if plus else OFFICIAL
        self.scores = ("mbpp", "mbpp+") if plus else ("mbpp",)

    def problems(self, rows: Sequence[Row]) -> list[Problem]:
        return [self._read_calls(row) if "base_input" in row else self._read_assertions(row) for row in rows]

    def _read_calls(self, row: Row) -> CallProblem:
        check_fields(self.name, row, ("task_id", "prompt", "entry_point", "canonical_solution", "plus_input", "atol"))
        shown = {"base": row["base_input"]} | ({"plus": row["plus_input"]} if self.plus else {})
        text = row["prompt"].strip().removeprefix('"""').removesuffix('"""')
        wording, assertion, rest = text.partition("assert")
        return CallProblem(
            task_id=row["task_id"],
            prompt=row["prompt"],
            instruction=ask(wording, assertion + rest),
            entry_point=row["entry_point"],
            reference=row["prompt"] + row["canonical_solution"],
            suites={name: shape_calls(row["task_id"], calls) for name, calls in shown.items()},
            shown=shown,
            rule="mbpp",
            oracle=row["entry_point"],
            atol=row["atol"],
        )

    def _read_assertions(self, row: Row) -> AssertionProblem:
        if self.plus:
            raise BenchmarkError("mbpp+ needs EvalPlus's problem file (with base_input and plus_input)")
        check_fields(self.name, row, ("task_id", "code", "test_list"))
        wording = row.get("text") or row.get("prompt") or ""
        first = row["test_list"][0]
        setup = [*row.get("test_imports", []), row.get("test_setup_code", "")]
        return AssertionProblem(
            task_id=f"Mbpp/{row['task_id']}",
            prompt=f'"""\n{wording}\n{first}\n"""\n',
            instruction=ask(wording, first),
            reference=row["code"].replace("\r\n", "\n"),
            # The set-up of two tasks uses classes that only the solution defines, so it runs after the solution.
            tests="\n".join([*setup, *row["test_list"]]).replace("\r\n", "\n") + "\n",
        )

    def join(self, problem: Problem, code: str) -> str:
        return complete(problem.prompt, code)

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        base = {"mbpp": passed["base"]}
        return base | {"mbpp+": passed["base"] and passed["plus"]} if self.plus else base


def ask(wording: str, assertion: str) -> str:
    """Return the instruction for a tuned model, as in the paper's evaluation: the wording and one assertion."""
    wording = wording.strip()
    stop = "" if wording.endswith(".") else "."
    return f"{wording}{stop}\n\nYour code should pass the following assertion:\n```python\n{assertion.strip()}\n```"
