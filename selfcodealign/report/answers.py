"""Some answers of an evaluation: drawn from the result files of all its models and benchmarks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import RenderableType
from rich.text import Text

from selfcodealign.errors import RunFolderError, did_you_mean
from selfcodealign.files import read_text
from selfcodealign.report.visible import show_row

#: The reason under which answers without code are asked for; it goes with any status.
NO_CODE = "no_code"
_CUT_CHARACTERS = 1600


def find_evaluation(path: Path, stage: str | None) -> Path | None:
    """Return the folder of an evaluation: PATH itself, or that of a run whose stage `evaluate` is asked for."""
    if (path / "scores.json").is_file() and stage in (None, "evaluate"):
        return path
    return path / "evaluation" if stage == "evaluate" and (path / "evaluation").is_dir() else None


def read_scores(path: Path, *, as_json: bool = False) -> str:
    """Return the page of scores of an evaluation as it was written, and the command that shows answers; or its JSON."""
    text = read_text(path / f"scores.{'json' if as_json else 'md'}", error=RunFolderError).rstrip()
    return text if as_json else f"{text}\n\nsome answers: selfcodealign show {path} --reason failed --sample 3"


def sample_answers(path: Path, reason: str | None, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw `count` answers at random, those with the status `reason`, those without code, or any.

    Raises `RunFolderError` that lists the statuses.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted(path.glob("*/*/results.parquet")):
        found = pq.read_table(file).to_pylist()
        rows += [{"model": file.parent.parent.name, "benchmark": file.parent.name, **row} for row in found]
    statuses = Counter(row["status"] for row in rows)
    no_code = sum(bool(row.get("no_code")) for row in rows)
    if reason not in (None, *statuses, *([NO_CODE] if no_code else [])):
        there = ", ".join(f"{name} {number}" for name, number in statuses.most_common()) or "no answers"
        beside = f"; of these hold no code: {NO_CODE} {no_code}" if no_code else ""
        hint = did_you_mean(str(reason), [*statuses, NO_CODE])
        raise RunFolderError(f'no answer of this evaluation is "{reason}"{hint} (there are {there}{beside})')
    wanted = [
        row for row in rows if reason is None or row["status"] == reason or (reason == NO_CODE and row.get("no_code"))
    ]
    return random.Random(seed).sample(wanted, min(count, len(wanted)))


def tell_answers(rows: list[dict[str, Any]], *, full: bool) -> Iterator[RenderableType]:
    """Show the answers, each with its model, task and grade; texts are cut unless `full`."""
    for row in map(show_row, rows):
        title = f"\n{row['model']}, {row['benchmark']}, {row['task_id']}, answer {row['sample']}"
        yield Text(title, style="cyan")
        grade = f"{row['status']}{': ' + row['detail'] if row['detail'] else ''}"
        ended = f" (ended by {row['finish_reason']})" if row["finish_reason"] else ""
        yield Text(grade + ended + ("; no code was found in it" if row.get("no_code") else ""), style="bold")
        text = row["text"] or row["solution"]
        cut = len(text) - _CUT_CHARACTERS
        yield Text(text if full or cut <= 0 else f"{text[:_CUT_CHARACTERS]}\n… {cut:,} more characters: --full")
