"""The options -v, -q and --log-file, which every command has and which may also stand before its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "Output"


def _verbose(value: bool) -> None:
    if value:
        from selfcodealign.progress.log import be_verbose

        be_verbose()


def _quiet(value: bool) -> None:
    if value:
        from selfcodealign.progress.log import be_quiet

        be_quiet()


def _log_file(value: Path | None) -> None:
    if value is not None:
        from selfcodealign.progress.log import log_to

        log_to(value)


def _options(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show details on stderr.",
            callback=_verbose,
            expose_value=False,
            rich_help_panel=PANEL,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show only results, warnings and errors.",
            callback=_quiet,
            expose_value=False,
            rich_help_panel=PANEL,
        ),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file",
            help="Append all messages to this file, with times and without secrets.",
            metavar="FILE",
            callback=_log_file,
            expose_value=False,
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> None: ...


def output_options() -> list[Any]:
    """The options as parameters of a command; their values take effect when they are read."""
    one = typer.Typer(add_completion=False)
    one.command()(_options)
    return typer.main.get_command(one).params
