"""Rows that held a task of a benchmark: what they were compared with, and both texts of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from selfcodealign.report.facts.tables import FILES, RunTables
from selfcodealign.report.facts.types import Contamination, ContaminationHit
from selfcodealign.run_folder.folder import BENCHMARK_VERSIONS

if TYPE_CHECKING:
    from selfcodealign.curation.contamination import Hit

#: Hits that are told with their texts.
MOST_HITS = 50
_REASON = "contaminated"


def find_contamination(tables: RunTables) -> Contamination | None:
    """What the rows were compared with and what was found; None where no stage compared any."""
    facts = tables.folder.facts()
    known = {one["name"]: f"{one['name']} {one.get('version', '')}" for one in facts.get("benchmarks", [])}
    # Stages name the versions they compared with; run.json names those of the last run.
    stages = tables.folder.stages()
    compared = {version for stage in stages for version in stage.decided_by.get(BENCHMARK_VERSIONS) or ()}
    benchmarks = [name for name, version in known.items() if version in compared]
    benchmarks += sorted(compared - set(known.values()))
    counts: Counter[str] = Counter()
    hits: list[ContaminationHit] = []
    for table in tables.stages:
        own = f"coalesce({table.column(table.row_id)}, parent)"
        query = f"SELECT {own}, detail FROM {FILES} WHERE reason = ? ORDER BY md5({own})"
        for row_id, detail in tables.stream(query, table.dropped, _REASON):
            hit = _read_hit(detail or "", known)
            counts[hit.benchmark if hit else ""] += 1
            if len(hits) < MOST_HITS:
                hits.append(_tell(table.name, row_id, detail or "", hit))
    if not benchmarks and not hits:
        return None
    by_benchmark = {name or "unknown": number for name, number in counts.most_common()}
    return Contamination(benchmarks, by_benchmark, hits, counts.total(), dict(facts.get("missing_benchmarks", {})))


def _read_hit(detail: str, benchmarks: Iterable[str]) -> Hit | None:
    # Loaded where there is a hit: it brings all that reads benchmarks.
    from selfcodealign.curation.contamination import Hit

    return Hit.read(detail, benchmarks)


def _tell(stage: str, row_id: str, detail: str, hit: Hit | None) -> ContaminationHit:
    """A drop as a hit; of what cannot be read, what was written of it."""
    if hit is None:
        return ContaminationHit(stage, row_id, "", "", "", "", detail)
    theirs, ours = (text.encode("utf-8", "replace").decode() for text in (hit.theirs, hit.ours))
    return ContaminationHit(stage, row_id, hit.rule, hit.benchmark, hit.task, theirs, ours)
