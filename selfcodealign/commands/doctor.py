"""`selfcodealign doctor`: what this machine offers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[Path, typer.Option("--at", help="Check the disk that holds this folder.")] = Path(),
) -> None:
    """Show what this machine offers: the sandbox's walls, each proven by a probe; devices, versions, free disk.

    Exit with code 1 if programs cannot run safely here.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from selfcodealign.machine import Fact, look_at_devices, look_at_machine
    from selfcodealign.sandbox import probe_walls

    console = Console()
    walls = probe_walls()
    table = Table(title="Walls of the sandbox", title_justify="left")
    for name in ("wall", "mode", "", "proof"):
        table.add_column(name)
    for wall, mode, held, detail in walls:
        table.add_row(wall, mode, Text("holds", "green") if held else Text("missing", "red"), Text(detail))
    console.print(table)
    facts: list[Fact] = [*look_at_machine(folder), *look_at_devices()]
    machine = Table(title="Machine", title_justify="left", show_header=False)
    marks = {True: Text("ok", "green"), False: Text("look", "red"), None: Text("")}
    for fact in facts:
        machine.add_row(fact.subject, marks[fact.good], Text(fact.detail))
    console.print(machine)
    modes = {mode for _, mode, _, _ in walls}
    safe = [mode for mode in modes if all(held for _, one, held, _ in walls if one == mode)]
    if not safe:
        console.print("Programs cannot be run safely here: see the missing walls above.", style="red")
        raise typer.Exit(1)
    console.print(f"Programs can be run safely here (modes: {', '.join(sorted(safe))}).", style="green")
