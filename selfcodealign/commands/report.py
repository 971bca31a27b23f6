"""`selfcodealign report`: write what a run did as one page, or several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="A run folder, or several; runs may be in progress.", metavar="RUN...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The page. Default: report.html in the run folder; of several runs, report.html here.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Write what a run did as one HTML page; of several runs, one page that compares them.

    The page needs no network and no scripts: it can be mailed, printed and opened anywhere. A page that this command
    wrote is replaced, any other file is not.

        selfcodealign report runs/quickstart
        selfcodealign report runs/quickstart runs/mine --out both.html
    """
    from selfcodealign.report.page import write_comparison, write_report

    print(write_report(runs[0], out) if len(runs) == 1 else write_comparison(runs, out or Path("report.html")))
