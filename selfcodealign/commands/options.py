"""Options that several commands have."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

SANDBOX_HELP = (
    "How programs are walled off: auto takes the strongest way that this machine allows, namespaces or landlock one of "
    "them, unsafe none."
)
#: Groups of options in the help.
PROGRAMS, JOURNEY = "Programs", "Journey"


class SandboxMode(enum.StrEnum):
    """The choices of `--sandbox`."""

    AUTO = "auto"
    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    UNSAFE = "unsafe"


Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Programs run in parallel; default: one per core.", metavar="N", rich_help_panel=PROGRAMS),
]
Warm = Annotated[
    str,
    typer.Option(
        help="Libraries to import once and share, separated by commas.", metavar="NAMES", rich_help_panel=PROGRAMS
    ),
]
Walls = Annotated[SandboxMode, typer.Option("--sandbox", help=SANDBOX_HELP, metavar="MODE", rich_help_panel=PROGRAMS)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a setting: section.key=value; may be repeated.", metavar="KEY=VALUE"),
]
Added = Annotated[
    list[str] | None,
    typer.Option("--with", help="Add a stage; may be repeated.", metavar="STAGE", rich_help_panel=JOURNEY),
]
Removed = Annotated[
    list[str] | None,
    typer.Option("--without", help="Leave out a stage; may be repeated.", metavar="STAGE", rich_help_panel=JOURNEY),
]

Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="Stop asking the model at tokens=, hours= or money= of all runs of the folder, or at examples= in the "
        "data set; k and M may follow a number; may be repeated.",
        metavar="KIND=N",
    ),
]


def read_names(text: str) -> tuple[str, ...]:
    """Return the names in a text that separates them by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
