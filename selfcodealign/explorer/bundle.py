"""A run as a static site: any web host serves it, and a browser opens it from a disk.

    index.html, report.html, card.html, marks.html
    stage/NAME.html     a list that a script searches; data/NAME.js holds it
    row/ID.html         the story of each seed and of each instruction that is listed
    compare/A-B.html    an answer that passed beside one that did not
    bundle.json         says that the folder is a bundle, which a later one may replace

The site is written beside its place under a hidden name and put there whole.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from selfcodealign.errors import RunFolderError, reason_of
from selfcodealign.explorer.access import NotFound
from selfcodealign.explorer.bundled_pages import Site, compare_page, write_data
from selfcodealign.explorer.bundled_rows import BundledRows
from selfcodealign.explorer.counts import count_stages, is_at_work
from selfcodealign.explorer.overview import CARD, REPORT, is_file, read_file
from selfcodealign.explorer.stories import choice_of, compare, last_marks
from selfcodealign.explorer.story import Story, tell
from selfcodealign.pages.template import style
from selfcodealign.run_folder.folder import open_existing
from selfcodealign.run_folder.marks import Mark, read_marks

MOST = 2_000
#: The file that says what a folder is.
MARKER = "bundle.json"
_STATIC = ("explorer.css", "story.css", "bundle.js")
#: Called with what is done, the unit, how much of it is done, and how much there is.
Pulse = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class Written:
    """What a bundle has: pages, and bytes."""

    pages: int
    size: int


def write_bundle(run: Path, out: Path, most: int = MOST, pulse: Pulse = lambda *told: None) -> Written:
    """Write a run as a static site in the folder `out`, with at most `most` rows of each stage.

    Raises `RunFolderError` if `out` is a folder that holds anything but an earlier bundle, or cannot be written.
    """
    open_existing(run).journey()
    check_place(out)
    with _whole_folder(out) as folder, tempfile.TemporaryDirectory(prefix=".rows.", dir=folder) as scratch:
        marks = read_marks(run)
        rows = BundledRows(run, most, marks, Path(scratch))
        try:
            return _Bundle(run, folder, rows, marks, most, pulse).write()
        except duckdb.Error as error:
            raise RunFolderError(f"cannot read the rows of {run}: {str(error).splitlines()[0]}") from error
        finally:
            rows.close()


def check_place(out: Path) -> None:
    """Raise `RunFolderError` if a bundle must not, or cannot, be put there."""
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise RunFolderError(f"{out} is no folder; choose another one for --bundle")
    if any(out.iterdir()) and not (out / MARKER).is_file():
        raise RunFolderError(f"{out} holds other files, which stay: choose an empty or new folder for --bundle")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` when the block ends, and goes if it raises."""
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise RunFolderError(f"cannot write {out}: {reason_of(error)}; choose another place") from error
    try:
        yield fresh
        fresh.chmod(0o755)
        check_place(out)
        if out.exists():
            with tempfile.TemporaryDirectory(prefix=f".{out.name}.old.", dir=out.parent) as old:
                os.rename(out, f"{old}/{out.name}")
                try:
                    os.rename(fresh, out)
                except BaseException:
                    os.rename(f"{old}/{out.name}", out)
                    raise
        else:
            os.rename(fresh, out)
    except OSError as error:
        raise RunFolderError(f"cannot write {out}: {reason_of(error)}; make room or choose another place") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class _Bundle:
    """Writes the files of a site."""

    def __init__(
        self, run: Path, folder: Path, rows: BundledRows, marks: Mapping[str, Mark], most: int, pulse: Pulse
    ) -> None:
        self._run, self._folder, self._rows, self._marks = run, folder, rows, marks
        self._most, self._pulse = most, pulse
        self._written = self._size = 0
        self._choose = choice_of(run)

    def write(self) -> Written:
        tables = self._rows.tables
        for done, _ in enumerate(self._rows.draw(), 1):
            self._pulse("reading", "stages", done, len(tables))
        pages = self._rows.pages()
        made = time.strftime("%-d %B %Y")
        self._site = Site(self._run.resolve().name, [one.name for one in tables], pages, self._most, made)
        self._copies = self._rows.copies(pages)
        for name in _STATIC:
            self._save(f"static/{name}", files("selfcodealign.explorer").joinpath("static", name).read_text("utf-8"))
        self._save("static/pages.css", str(style()))
        self._overview()
        self._lists()
        total = self._rows.count_seeds()
        for done, (seed, rows) in enumerate(self._rows.seeds(), 1):
            self._stories(seed, rows)
            self._pulse("writing stories", "seeds", done, total)
        self._save(MARKER, json.dumps({"made_by": "selfcodealign view --bundle", "rows_per_stage": self._most}) + "\n")
        return Written(self._written, self._size)

    def _overview(self) -> None:
        has_report, has_card = is_file(self._run / REPORT), is_file(self._run / CARD)
        self._page(
            "overview.html",
            "index.html",
            counts=count_stages(self._run),
            working=is_at_work(self._run),
            has_report=has_report,
            has_card=has_card,
        )
        self._page("marks.html", "marks.html", **last_marks(self._marks))
        try:
            if has_report:
                self._save("report.html", read_file(self._run / REPORT).decode("utf-8", "replace"))
            if has_card:
                self._page("card.html", "card.html", card=read_file(self._run / CARD).decode("utf-8", "replace"))
        except NotFound:  # removed meanwhile
            return

    def _lists(self) -> None:
        labels = {row: mark.label or "note" for row, mark in self._marks.items()}
        for number, table in enumerate(self._rows.tables):
            drawn = self._rows.listed(number)
            self._save(f"data/{table.name}.js", write_data(drawn, self._site.pages, labels))
            self._page("bundled_stage.html", f"stage/{table.name}.html", table=table, shown=len(drawn.rows))

    def _stories(self, seed: str, rows: list[dict[str, Any]]) -> None:
        tasks: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row.get("instruction_id") in self._site.pages:
                tasks.setdefault(row["instruction_id"], []).append(row)
        for task, own in tasks.items():
            self._story(self._tell("instruction_id", task, own), brief=False)
        name = "seed_id" if any(row.get("seed_id") == seed for row in rows) else "source_id"
        self._story(self._tell(name, seed, rows), brief=True)

    def _tell(self, name: str, row_id: str, rows: list[dict[str, Any]]) -> Story:
        ids = [row_id, *(row.get("response_id") for row in rows)]
        copies = [copy for one in dict.fromkeys(ids) if one for copy in self._copies.get(one, ())]
        return tell(name, row_id, rows, self._marks, self._choose, copies)

    def _story(self, story: Story, *, brief: bool) -> None:
        self._page("story.html", f"row/{story.id}.html", story=story, history=(), brief=brief)
        for task in () if brief else story.tasks:
            if task.compare is None:
                continue
            left, right = (next(one.row for one in task.answers if one.id == wanted) for wanted in task.compare)
            self._page("compare.html", compare_page(*task.compare), **compare(left, right))

    def _page(self, template: str, path: str, **values: Any) -> None:
        self._save(path, self._site.page(template, path, **values))
        self._written += 1

    def _save(self, path: str, text: str) -> None:
        """Write a file of the site."""
        place = self._folder / path
        place.parent.mkdir(exist_ok=True)
        data = text.encode("utf-8", "backslashreplace")
        place.write_bytes(data)
        self._size += len(data)
