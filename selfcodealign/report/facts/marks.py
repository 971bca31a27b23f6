"""What people have marked in a run, and what came of it in selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from selfcodealign.report.facts.tables import FILES, RunTables, StageTable
from selfcodealign.report.facts.types import MarkCounts
from selfcodealign.rows import Concepts, Instruction, Response, Seed
from selfcodealign.run_folder.marks import FILE, MARKED_DROP, MARKS, ROW_IDS, Mark, digest_marks, read_marks

#: Marks that are told, the newest first.
MOST_TOLD = 20
#: What rows with these ids are called.
_KINDS = {
    Seed.id_field: "seed",
    Concepts.id_field: "concepts",
    Instruction.id_field: "instruction",
    Response.id_field: "response",
}
UNKNOWN = "unknown"


def count_marks(tables: RunTables) -> MarkCounts:
    """Count the marks that hold. A stage has known them where it was decided by just these labels."""
    if not (tables.folder.path / FILE).exists():
        return MarkCounts({}, 0, 0, 0, 0, [])
    marks = read_marks(tables.folder.path)
    kinds = _find_kinds(tables, list(marks))
    labels: dict[str, Counter[str]] = {}
    for row, mark in marks.items():
        if mark.label:
            labels.setdefault(kinds.get(row, UNKNOWN), Counter())[mark.label] += 1
    labelled = sum(one.total() for one in labels.values())
    known_to = _find_stage(tables, marks)
    honoured = _count_honoured(tables, known_to, marks) if known_to else 0
    order = [*_KINDS.values(), UNKNOWN]
    return MarkCounts(
        labels={kind: dict(sorted(labels[kind].items())) for kind in order if kind in labels},
        notes=sum(bool(mark.note) for mark in marks.values()),
        honoured=honoured,
        without_effect=labelled - honoured if known_to else 0,
        waiting=0 if known_to else labelled,
        last=sorted(marks.values(), key=lambda mark: (mark.at, mark.row), reverse=True)[:MOST_TOLD],
    )


def _find_stage(tables: RunTables, marks: Mapping[str, Mark]) -> StageTable | None:
    """The stage that was decided by these labels."""
    now = digest_marks(marks)
    return next((table for table in tables.stages if table.stage.decided_by.get(MARKS) == now), None)


def _count_honoured(tables: RunTables, table: StageTable, marks: Mapping[str, Mark]) -> int:
    """Count the marked rows from which the stage dropped an answer for the label "drop", or kept one with "keep"."""
    found: set[str] = set()
    for label, files, where in (
        ("keep", table.kept, ""),
        ("drop", table.dropped, f" AND reason = '{MARKED_DROP}'"),
    ):
        ids = [row for row, mark in marks.items() if mark.label == label]
        for name in ROW_IDS if ids else ():
            own = table.column(name)
            query = f"SELECT DISTINCT {own} FROM {FILES} WHERE {own} IN (SELECT unnest(?)){where}"
            found |= {row for (row,) in tables.ask(query, files, ids)}
    return len(found)


def _find_kinds(tables: RunTables, ids: list[str]) -> dict[str, str]:
    """What the marked rows are; those that no stage has are left out."""
    found: dict[str, str] = {}
    for table in tables.stages:
        kind = _KINDS.get(table.row_id)
        if kind is None or not ids:
            continue
        for files in (table.kept, table.dropped):
            own = table.column(table.row_id)
            query = f"SELECT DISTINCT {own} FROM {FILES} WHERE {own} IN (SELECT unnest(?))"
            found |= {row: kind for (row,) in tables.ask(query, files, ids)}
    return found
