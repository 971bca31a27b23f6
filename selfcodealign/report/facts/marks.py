"""What people have marked in a run, and whether selection has honoured it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from selfcodealign.report.facts.tables import FILES, RunTables
from selfcodealign.report.facts.types import MarkCounts
from selfcodealign.rows import Concepts, Instruction, Response, Seed
from selfcodealign.run_folder.marks import FILE, Mark, digest_marks, read_marks

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
#: The name in `decided_by` of the marks that a stage has honoured.
MARKS = "marks"


def count_marks(tables: RunTables) -> MarkCounts:
    """Count the marks that hold. They are honoured all together: where a stage was decided by just these labels."""
    if not (tables.folder.path / FILE).exists():
        return MarkCounts({}, 0, 0, 0, [])
    marks = read_marks(tables.folder.path)
    kinds = _find_kinds(tables, list(marks))
    labels: dict[str, Counter[str]] = {}
    for row, mark in marks.items():
        if mark.label:
            labels.setdefault(kinds.get(row, UNKNOWN), Counter())[mark.label] += 1
    labelled = sum(one.total() for one in labels.values())
    honoured = labelled if _are_honoured(tables, marks) else 0
    order = [*_KINDS.values(), UNKNOWN]
    return MarkCounts(
        labels={kind: dict(sorted(labels[kind].items())) for kind in order if kind in labels},
        notes=sum(bool(mark.note) for mark in marks.values()),
        honoured=honoured,
        waiting=labelled - honoured,
        last=sorted(marks.values(), key=lambda mark: (mark.at, mark.row), reverse=True)[:MOST_TOLD],
    )


def _are_honoured(tables: RunTables, marks: Mapping[str, Mark]) -> bool:
    now = digest_marks(marks)
    return any(stage.decided_by.get(MARKS) == now for stage in tables.folder.stages())


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
