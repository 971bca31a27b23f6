"""What judging again has changed: counts, flips by reason, and answers that pass with other evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfcodealign.files import write_json_lines
from selfcodealign.judging.stored import Judged
from selfcodealign.run_folder.folder import RunFolder, StageFolder

#: Ids shown of each kind of change.
IDS_SHOWN = 3


@dataclass(frozen=True)
class Change:
    """Answers that changed in one way: `before` → `after`, for a reason."""

    before: str
    after: str
    count: int
    ids: list[str]
    reason: str = ""


@dataclass(frozen=True)
class Changes:
    """What a table of verdicts says. `before` and `after` count answers by status, `unread` those without a program.

    `stopped` is the number of instructions that a run under the new verdicts would have sampled further.
    """

    before: dict[str, int]
    after: dict[str, int]
    unread: dict[str, int]
    flips: list[Change]
    proofs: list[Change]
    values: list[Change]
    scores: list[Change] = field(default_factory=list)
    stopped: int = 0

    @property
    def flipped(self) -> int:
        """How many answers have another status."""
        return sum(one.count for one in self.flips)

    @property
    def none(self) -> bool:
        """Whether every verdict and its evidence stayed."""
        return not (self.flips or self.proofs or self.values or self.scores)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"flipped": self.flipped}


def read_changes(
    folder: RunFolder, answers: StageFolder[Any], table: StageFolder[Judged], *, samples: int, stop_after_passes: int
) -> Changes:
    """Read what changed. `samples` and `stop_after_passes` are those of the run."""
    files = [str(path) for path in sorted(table.path.glob("kept-*.parquet"))]
    if not files:
        return Changes({}, {}, _count_unread(answers), [], [], [])
    with folder.connect() as connection:

        def ask(query: str, *given: Any) -> list[tuple[Any, ...]]:
            return connection.execute(query, [files, *given]).fetchall()

        def count(field_name: str) -> dict[str, int]:
            query = f"SELECT {field_name}, count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 2 DESC, 1"
            return dict(ask(query))

        def changed(what: str, before: str, after: str, reason: str = "''") -> list[Change]:
            query = f"""
                SELECT {before}, {after}, {reason}, count(*), list(response_id ORDER BY response_id)[:{IDS_SHOWN}]
                FROM read_parquet(?) WHERE list_contains(changes, ?) GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"""
            return [Change(was, now, number, ids, why) for was, now, why, number, ids in ask(query, what)]

        text = "CASE {} WHEN true THEN 'yes' WHEN false THEN 'no' ELSE 'not measured' END"
        direction = "CASE WHEN isnan(mutation_score) OR isnan(before_mutation_score) "
        direction += "THEN CASE WHEN isnan(before_mutation_score) THEN 'not measured → measured' "
        direction += "ELSE 'measured → not measured' END "
        direction += "WHEN mutation_score > before_mutation_score THEN 'higher' ELSE 'lower' END"
        changes = Changes(
            before=count("before_status"),
            after=count("status"),
            unread=_count_unread(answers),
            flips=changed("status", "before_status", "status", "cause"),
            proofs=changed("proof", "before_proof", "proof"),
            values=changed("killed_by_value", text.format("before_killed_by_value"), text.format("killed_by_value")),
            scores=changed("mutation_score", "'as before'", direction),
        )
        if not stop_after_passes or not changes.flips:
            return changes
        drawn = answers.shards.tally(connection, "instruction_id")
        query = """
            SELECT instruction_id, count(*) FILTER (status = 'passed') FROM read_parquet(?) GROUP BY 1
            HAVING bool_or(before_status = 'passed' AND status != 'passed')"""
        fewer = [one for one, passes in ask(query) if passes < stop_after_passes and drawn[one][0] < samples]
        return replace(changes, stopped=len(fewer))


def _count_unread(answers: StageFolder[Any]) -> dict[str, int]:
    """Count the answers that never had a program, by the reason why."""
    found: dict[str, int] = {}
    for kept, row in answers.shards.outcomes(("status", "reason")):
        if not kept and not row.get("status"):
            found[row["reason"]] = found.get(row["reason"], 0) + 1
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def tell_changes(changes: Changes, run: Path) -> Iterator[str]:
    """Tell the changes in lines."""
    judged, unread = sum(changes.after.values()), sum(changes.unread.values())
    without = f"; {unread:,} never had one ({_tell(changes.unread)})" if unread else ""
    yield f"{judged:,} answers with a program judged again{without}"
    if not judged:
        return
    yield f"{'status':<12}{'before':>10}{'after':>10}"
    for status in {**changes.before, **changes.after}:
        yield f"{status:<12}{changes.before.get(status, 0):>10,}{changes.after.get(status, 0):>10,}"
    yield f"{changes.flipped:,} flips" if changes.flips else "no flips"
    for one in changes.flips:
        yield from _tell_change(f"{one.before} → {one.after}, {one.reason}", one, run)
    for name, found in (("proof", changes.proofs), ("killed by value", changes.values)):
        for one in found:
            yield from _tell_change(f"{name}: {one.before} → {one.after}", one, run)
    for one in changes.scores:
        yield from _tell_change(f"mutation score: {one.after}", one, run)
    if changes.stopped:
        yield (
            f"{changes.stopped:,} instructions lost the answer that ended their sampling: a run under these verdicts "
            "would have drawn more answers, which judging again cannot know"
        )


def _tell_change(what: str, one: Change, run: Path) -> Iterator[str]:
    yield f"{one.count:8,}  {what}"
    yield from (f"{'':10}selfcodealign show {run} {row_id}" for row_id in one.ids)


def _tell(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def write_changes(table: StageFolder[Judged], target: Path) -> None:
    """Write every changed answer with both verdicts as a line of JSON, null where nothing was measured.

    Raises `UserError` if it cannot be written.
    """

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    changed = (row.fields() for row in table.shards.rows() if row.changes)
    rows = ({name: known(value) for name, value in row.items()} for row in changed)
    write_json_lines(target, rows)
