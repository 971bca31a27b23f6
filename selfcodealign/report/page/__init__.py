"""`report.html`: one file that tells a person what a run did, where rows went, what passed and what it cost."""

from __future__ import annotations

from pathlib import Path

from selfcodealign.errors import RunFolderError
from selfcodealign.files import write_text
from selfcodealign.report import facts

#: Its name in a run folder.
FILE = "report.html"


def write_report(run: Path) -> Path:
    """Write `report.html` into a run's folder, whole; a run in progress may be read. Raises `RunFolderError`."""
    from selfcodealign.report.page.render import render

    page = render(facts.read_facts(run))
    write_text(run / FILE, page, error=RunFolderError)
    return run / FILE
