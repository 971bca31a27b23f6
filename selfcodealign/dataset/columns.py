"""The columns of a data set: their types, and what they mean, for the files, the card and the Croissant metadata."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()


@dataclass(frozen=True)
class Column:
    """A column: its type, and its meaning in one sentence without its end."""

    type: pa.DataType
    meaning: str


COLUMNS = {
    "instruction": Column(TEXT, "the task, without anything that was added below it"),
    "response": Column(TEXT, "the answer as it was judged"),
    "messages": Column(
        pa.list_(pa.struct({"role": TEXT, "content": TEXT})),
        "what a model is tuned on: a message of the user and one of the assistant",
    ),
    "tests": Column(TEXT, "the tests that the answer was run with, empty for none"),
    "status": Column(TEXT, "how that run ended: passed, not_run, or a way of failing"),
    "concepts": Column(pa.list_(TEXT), "the programming concepts that the task was made from"),
    "category": Column(TEXT, "the kind of task that was asked for"),
    "difficulty": Column(TEXT, "the difficulty that was asked for"),
    "language": Column(TEXT, "the programming language"),
    "seed_code": Column(TEXT, "the code that the task grew from, empty for none"),
    "function": Column(TEXT, "the name of that code's function"),
    "origin": Column(TEXT, "the package, repository or data set that the code or the row came from"),
    "source_path": Column(TEXT, "the file in it"),
    "source_line": Column(WHOLE, "the line of that file"),
    "commit": Column(TEXT, "the commit or the revision of the origin"),
    "license": Column(TEXT, "the licence of the code or of the row there: an SPDX expression, or unknown"),
    "mutation_score": Column(REAL, "the share of mutants of the answer that its tests noticed; NaN: not measured"),
    "proof": Column(
        TEXT, "split: passed in a process apart from its tests, too; shared: in one process; empty: neither"
    ),
    "killed_by_value": Column(pa.bool_(), "whether an assertion noticed other values of the same types"),
    "passes_siblings": Column(REAL, "the share of the other answers' tests that the answer passes; NaN: not measured"),
    "tests_pass": Column(REAL, "the share of the other answers that pass its tests; NaN: not measured"),
    "agreement": Column(REAL, "answers that pass exactly the same tests, times the number of these; NaN: not measured"),
    "pass_rate": Column(REAL, "the share of the answers drawn for the task that passed; NaN: nothing was run"),
    "samples": Column(WHOLE, "how many answers were drawn for the task"),
    "seed_id": Column(TEXT, "names the code by its content"),
    "instruction_id": Column(TEXT, "names the task"),
    "response_id": Column(TEXT, "names the row"),
}
#: Of the stages in this package that add columns of their own.
_ADDED = {
    "monologue_id": "names the row, where it is reasoning",
    "direction": "forward or backward for a row that is reasoning about a call, empty for an example",
    "call": "the call that the reasoning is about",
    "value": "what a run of the call returned",
    "monologue": "the reasoning, which is not verified itself",
}
SCHEMA = pa.schema({name: column.type for name, column in COLUMNS.items()})


def meaning_of(name: str) -> str:
    """What a column means, also one that a stage added."""
    return COLUMNS[name].meaning if name in COLUMNS else _ADDED.get(name, "added by a stage of the journey")
