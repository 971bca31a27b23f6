"""Some rows of a stage, kept or dropped for one reason: drawn, shown or written as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import RenderableType
from rich.text import Text

from selfcodealign.errors import RunFolderError, did_you_mean
from selfcodealign.report.funnel import NO_DATA_SET
from selfcodealign.report.story import tell_row
from selfcodealign.report.visible import show_text
from selfcodealign.rows import unit_of
from selfcodealign.run_folder.folder import StageFolder, open_existing

#: The reason under which kept rows are asked for.
KEPT = "kept"
#: Most lines and characters of a text that is not shown in full.
CUT_LINES, CUT_CHARACTERS = 24, 1600
#: Digits of an id that are enough to find it again in a run of millions of rows.
ID_DIGITS = 10


@dataclass(frozen=True)
class Sample:
    """Rows of one stage, with `reason` and `detail` where they were dropped, of `count` such rows."""

    stage: str
    reason: str | None
    rows: Sequence[dict[str, Any]]
    count: int
    id_fields: Sequence[str]


def sample_rows(path: Path, stage: str | None, reason: str | None, count: int, seed: int) -> Sample:
    """Draw `count` rows of a stage at random; `seed` decides which. `reason` is `kept` or a reason of drops.

    Without a stage, the one that has the reason is taken. Raises `RunFolderError` that lists the stages or reasons.
    """
    folder = open_existing(path)
    stages = {one.name: one for one in folder.stages()}
    chosen = _find_stage(stages, stage, reason, written=(path / "dataset" / "README.md").is_file())
    kept, dropped = chosen.shards.counts()
    if reason not in (None, KEPT, *dropped):
        there = ", ".join(f"{name} {number}" for name, number in {KEPT: kept, **dropped}.items())
        hint = did_you_mean(str(reason), [KEPT, *dropped])
        raise RunFolderError(f'stage {chosen.name} dropped nothing for the reason "{reason}"{hint} (there are {there})')
    rows = []
    ids = list(dict.fromkeys(name for one in stages.values() for name in (one.description.row_id,)))
    key = ", ".join(f'"{name}"' for name in ids if name in chosen.description.fields)
    with folder.connect() as connection:
        for kind in (KEPT, "dropped"):
            files = [str(file) for file in sorted(chosen.path.glob(f"{kind}-*.parquet"))]
            if not files or (reason is not None and (reason == KEPT) != (kind == KEPT)):
                continue
            parent = f'"{chosen.description.parent}"' if kind == KEPT else "parent, detail"
            chosen_by = "" if kind == KEPT or reason is None else "WHERE reason = ?"
            query = (
                f"SELECT md5(concat_ws('|', {parent}, {key}, ?)) AS draw, * FROM read_parquet(?) {chosen_by} "
                f"ORDER BY draw LIMIT {count}"
            )
            given = [str(seed), files, *([reason] if chosen_by else [])]
            table = connection.execute(query, given)
            names = [column[0] for column in table.description or []]
            rows += [dict(zip(names, values, strict=True)) | {"kept": kind == KEPT} for values in table.fetchall()]
    rows = sorted(rows, key=lambda row: row["draw"])[:count]
    plain = [{name: value for name, value in row.items() if name != "draw"} | {"stage": chosen.name} for row in rows]
    number = sum(dropped.values()) + kept if reason is None else kept if reason == KEPT else dropped[reason]
    return Sample(chosen.name, reason, plain, number, ids)


def _find_stage(
    stages: dict[str, StageFolder[Any]], stage: str | None, reason: str | None, *, written: bool
) -> StageFolder[Any]:
    if stage in stages:
        return stages[stage]
    known = ", ".join(stages)
    if stage == "dataset":
        last = next(reversed(stages), "STAGE")
        raise RunFolderError(NO_DATA_SET if not written else f"a data set has no rows of its own: --stage {last}")
    if stage is not None:
        raise RunFolderError(f'no stage "{stage}" in this run{did_you_mean(stage, stages)} (it has rows of {known})')
    reasons = {one.name: one.shards.counts()[1] for one in stages.values()}
    having = [name for name, found in reasons.items() if reason in found]
    if len(having) == 1:
        return stages[having[0]]
    if not having and reason != KEPT:
        every = sorted({name for found in reasons.values() for name in found})
        hint = did_you_mean(str(reason), every)
        raise RunFolderError(f'no stage dropped anything for the reason "{reason}"{hint} (known: {", ".join(every)})')
    raise RunFolderError(f"which stage? Give --stage: {', '.join(having) or known}")


def tell_sample(sample: Sample, *, full: bool) -> Iterator[RenderableType]:
    """Show the rows, each with its id; texts are cut unless `full`."""
    what = "rows" if sample.reason is None else sample.reason
    yield Text(f"{sample.stage}, {what}: {len(sample.rows)} of {sample.count:,}", style="bold")
    for row in sample.rows:
        field, own_id = next(((name, row[name]) for name in reversed(sample.id_fields) if row.get(name)), ("", ""))
        name = f"{unit_of(field).removesuffix('s')} {own_id}" if field else f"file {row.get('source_id') or ''}"
        place = f"  {row['origin']} {row['source_path']}" if row.get("source_path") else ""
        yield Text(show_text(f"\n{name}{place}"), style="cyan")
        # Of a commit what changed is shown, which cut texts do not tell; the filters have bounded both.
        whole = ("seed", "old_code") if row.get("kind") == "commits" else ()
        yield from tell_row(row if full else {name: v if name in whole else _cut(v) for name, v in row.items()})


def _cut(value: Any) -> Any:
    if not isinstance(value, str) or (len(value) <= CUT_CHARACTERS and value.count("\n") < CUT_LINES):
        return value
    shown = "\n".join(value[:CUT_CHARACTERS].split("\n")[:CUT_LINES])
    closed = "\n```" if shown.count("```") % 2 else ""
    return f"{shown}{closed}\n\n… {len(value) - len(shown):,} more characters: --full"


def sample_json(sample: Sample) -> str:
    """Write the rows as JSON, in full; a number that was not measured is null."""
    rows = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in sample.rows
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def id_to_try(path: Path) -> str | None:
    """The beginning of the id of a row of the last stage that kept any; None for a run without rows."""
    for stage in reversed(open_existing(path).stages()):
        for file in sorted(stage.path.glob("kept-*.parquet")):
            for batch in pq.ParquetFile(file).iter_batches(1, columns=[stage.description.row_id]):
                return batch.column(0)[0].as_py()[:ID_DIGITS]
    return None
