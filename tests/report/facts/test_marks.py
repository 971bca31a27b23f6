"""What people have marked is counted by what the marked rows are."""

from __future__ import annotations

import json
from pathlib import Path

from selfcodealign.report.facts import MarkCounts, read_facts
from selfcodealign.run_folder.marks import FILE, digest_marks, read_marks
from tests.support.runs import rows_of


def _mark(run: Path, *marks: tuple[str, str, str]) -> None:
    lines = [
        json.dumps({"row": row, "label": label, "note": note, "by": "ada", "at": f"2026-11-27T08:{number:02}:00+00:00"})
        for number, (row, label, note) in enumerate(marks)
    ]
    (run / FILE).write_text("".join(f"{line}\n" for line in lines))


def test_a_run_without_marks_has_none(made: Path) -> None:
    assert read_facts(made).marks == MarkCounts({}, 0, 0, 0, 0, [])


def test_labels_are_counted_by_what_the_row_is(run: Path) -> None:
    """Of several marks of a row the last one holds; a dropped row is found; an id of no row is unknown."""
    (seed, *_), (concepts, *_) = rows_of(run, "seeds"), rows_of(run, "concepts")
    instruction, answer = rows_of(run, "instructions")[0], rows_of(run, "responses", "dropped")[0]
    _mark(
        run,
        (seed["seed_id"], "drop", ""),
        (seed["seed_id"], "keep", "after all"),
        (concepts["concepts_id"], "drop", "vague"),
        (instruction["instruction_id"], "", "a note alone"),
        (answer["response_id"], "keep", ""),
        ("0" * 16, "drop", ""),
    )
    marks = read_facts(run).marks
    assert {kind: dict(labels) for kind, labels in marks.labels.items()} == {
        "seed": {"keep": 1},
        "concepts": {"drop": 1},
        "response": {"keep": 1},
        "unknown": {"drop": 1},
    }
    assert (marks.notes, marks.honoured, marks.waiting) == (3, 0, 4)
    assert next(one.row for one in marks.last) == "0" * 16


def test_marks_are_honoured_where_selection_was_decided_by_them(run: Path) -> None:
    """The labels that are in force, and no others: one more waits, and all of them with it."""
    kept, failed = rows_of(run, "selection")[0], rows_of(run, "responses", "dropped")[0]
    given = [(kept["response_id"], "keep", ""), (failed["response_id"], "keep", ""), (kept["seed_id"], "drop", "")]
    _mark(run, *given)
    path = run / "selection" / "stage.json"
    told = json.loads(path.read_text())
    told["decided_by"]["marks"] = digest_marks(read_marks(run))
    path.write_text(json.dumps(told))
    marks = read_facts(run).marks
    assert (marks.honoured, marks.without_effect, marks.waiting) == (1, 2, 0), "a failed answer was not there to keep"
    _mark(run, *given, (failed["instruction_id"], "drop", ""))
    marks = read_facts(run).marks
    assert (marks.honoured, marks.without_effect, marks.waiting) == (0, 0, 4)
