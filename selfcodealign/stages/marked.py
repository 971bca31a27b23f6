"""What people's marks say of an answer: the label nearest to it holds, that of the answer before that of its task.

drop    of an answer, or of anything it was made from: it goes, as `marked_drop`
keep    of an answer: no filter of quality and no comparison drops it; it comes before its siblings and its copies
keep    of an instruction, or of what it was made from: no filter of the task drops its answers for what the
        instruction is like; what is asked of an answer is asked of them
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from selfcodealign.rows import Response
from selfcodealign.run_folder.marks import MARKED_DROP, ROW_IDS, Mark


class Labels:
    """The labels of a run's marks, asked for one answer at a time."""

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self._marks = {row: mark for row, mark in marks.items() if mark.label}
        self._any_kept = any(mark.label == "keep" for mark in self._marks.values())

    def __bool__(self) -> bool:
        return bool(self._marks)

    def drop(self, row: Response) -> tuple[str, str] | None:
        """Reason and detail, if the label that holds for this answer wants it out."""
        name, mark = self._nearest(row)
        if mark is None or mark.label != "drop":
            return None
        of = "" if name == "response_id" else f"{name.removesuffix('_id').replace('_', ' ')} {mark.row}"
        return MARKED_DROP, "; ".join(part for part in (of, mark.note, mark.by and f"by {mark.by}") if part)

    def keep_answer(self, row: Response) -> bool:
        """Whether a person wants this very answer in."""
        name, mark = self._nearest(row)
        return mark is not None and mark.label == "keep" and name == "response_id"

    def keep_task(self, row: Response) -> bool:
        """Whether a person wants the task of this answer in, or the answer itself."""
        mark = self._nearest(row)[1]
        return mark is not None and mark.label == "keep"

    def first(self, rows: Callable[[], Iterable[Response]]) -> Iterator[Response]:
        """All rows in their order, but the wanted answers first, then those to wanted tasks."""
        if not self._any_kept:
            yield from rows()
            return
        yield from chain.from_iterable(
            (row for row in rows() if self.keep_answer(row) + self.keep_task(row) == wanted) for wanted in (2, 1, 0)
        )

    def _nearest(self, row: Response) -> tuple[str, Mark | None]:
        if self._marks:
            for name in ROW_IDS:
                if (mark := self._marks.get(getattr(row, name, ""))) is not None:
                    return name, mark
        return "", None


#: Nobody has marked anything.
NO_LABELS = Labels({})
