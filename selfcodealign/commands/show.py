"""`selfcodealign show`: the funnel of a run, or one row's whole story."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def show(
    run: Annotated[Path, typer.Argument(help="A run folder; it may be at work.", metavar="RUN")],
    row: Annotated[
        str | None, typer.Argument(help="A row's id (seed, concepts, instruction, response), or its first digits.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The funnel as JSON.")] = False,
) -> None:
    """Show where the rows of a run went and why, or all that is known of one row.

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
