"""`selfcodealign show`: show the funnel of a run, or everything about one row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def show(
    run: Annotated[Path, typer.Argument(help="A run folder; the run may be in progress.", metavar="RUN")],
    row: Annotated[
        str | None, typer.Argument(help="Id of a row (seed, concepts, instruction, response), or its first digits.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the funnel as JSON.")] = False,
) -> None:
    """Show how many rows each stage kept and dropped and why, or everything about one row.

    selfcodealign show runs/quickstart
    selfcodealign show runs/quickstart 3f9a
    """
    from rich.console import Console

    from selfcodealign.report.funnel import funnel_json, print_funnel
    from selfcodealign.report.story import tell_story

    console = Console()
    if row is not None:
        for part in tell_story(run, row.lower()):
            console.print(part)
    elif as_json:
        print(funnel_json(run))
    else:
        print_funnel(run, console)
