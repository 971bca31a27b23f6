"""`report.html`: one file that tells a person what a run did: where rows went, what passed, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfcodealign.errors import RunFolderError
from selfcodealign.files import write_text
from selfcodealign.report import facts
from selfcodealign.report.funnel import REPORT

#: Runs that are compared at most: more columns are not read.
MOST_RUNS = 12
#: Where in a page its mark is.
_HEAD = 2_000


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, whole: to `report.html` in its folder, or to `out`. The run may be in progress.

    Raises `RunFolderError` where there is no run, and where `out` is another file.
    """
    from selfcodealign.report.page.render import ONE_RUN, render

    if out is not None:
        _refuse_other(out, ONE_RUN)
    page = render(facts.read_facts(run))
    place = out or run / REPORT
    write_text(place, page, error=RunFolderError)
    return place


def write_comparison(runs: Sequence[Path], out: Path) -> Path:
    """Write several runs side by side to `out`, whole. Raises `RunFolderError` as `write_report` does."""
    from selfcodealign.report.page.render import SEVERAL_RUNS
    from selfcodealign.report.page.side_by_side import render_comparison

    if len(runs) > MOST_RUNS:
        raise RunFolderError(f"{len(runs)} runs have no room side by side: name at most {MOST_RUNS}")
    _refuse_other(out, SEVERAL_RUNS)
    page = render_comparison([facts.read_facts(run, shown=0) for run in runs])
    write_text(out, page, error=RunFolderError)
    return out


def _refuse_other(out: Path, mark: str) -> None:
    """Replace nothing but an earlier page of the same kind."""
    if not out.exists():
        return
    head = b""
    if out.is_file():
        with out.open("rb") as file:
            head = file.read(_HEAD)
    if f'<meta name="generator" content="{mark}">'.encode() not in head:
        raise RunFolderError(f"{out} is no {mark.removeprefix('selfcodealign ')}: give another --out, or remove it")
