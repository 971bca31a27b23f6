"""`selfcodealign doctor`: what this machine offers."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.installation import install_extra

#: What each extra of the package brings, by distribution.
EXTRAS = {
    "local": ("torch", "transformers"),
    "hub": ("datasets", "huggingface_hub"),
    "train": ("trl", "peft", "accelerate"),
    "vllm": ("vllm",),
    "serve": ("aiohttp", "prometheus_client"),
}


@dataclass(frozen=True)
class Fact:
    """One line of the report; `good` is None where nothing is good or bad about it; `command` adds what is missing."""

    subject: str
    detail: str
    good: bool | None = None
    command: str = ""


def doctor(
    folder: Annotated[
        Path, typer.Option("--at", help="Check the disk that holds this folder.", metavar="FOLDER")
    ] = Path(),
) -> None:
    """Show what this machine offers: the sandbox's walls, each proven by a probe; devices, versions, free disk.

    Exit with code 1 if programs cannot run safely here.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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
    for fact in facts:
        if fact.command:  # outside of the table, which would break it
            console.print(f"{fact.subject}: {fact.command}", markup=False, highlight=False, soft_wrap=True)
    modes = {mode for _, mode, _, _ in walls}
    safe = [mode for mode in modes if all(held for _, one, held, _ in walls if one == mode)]
    if not safe:
        console.print("Programs cannot be run safely here: see the missing walls above.", style="red")
        raise typer.Exit(1)
    console.print(f"Programs can be run safely here (modes: {', '.join(sorted(safe))}).", style="green")


def look_at_machine(folder: Path) -> list[Fact]:
    """Python, processors, memory, free disk at `folder`, and which extras are installed."""
    cores = len(os.sched_getaffinity(0))
    free = shutil.disk_usage(folder).free / 2**30
    facts = [
        Fact("selfcodealign", version("selfcodealign")),
        Fact("python", f"{platform.python_version()} ({sys.executable})"),
        Fact("system", f"{platform.system()} {platform.release()} {platform.machine()}", sys.platform == "linux"),
        Fact("cores", str(cores)),
        Fact("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"),
        Fact("free disk", f"{free:.1f} GiB at {folder.resolve()}", free > 1),
    ]
    for extra, names in EXTRAS.items():
        found = {name: _version(name) for name in names}
        missing = [name for name, one in found.items() if one is None]
        have = ", ".join(f"{name} {one}" for name, one in found.items() if one)
        need = f"without {', '.join(missing)}" if missing else ""
        facts.append(
            Fact(
                f"extra {extra}",
                "; ".join(part for part in (have, need) if part),
                None if missing else True,
                install_extra(extra) if missing else "",
            )
        )
    return facts


def look_at_devices() -> list[Fact]:
    """What torch can compute on; slow, because torch has to be imported."""
    if _version("torch") is None:
        return [Fact("devices", "unknown without torch")]
    import torch

    facts = [Fact("device cpu", f"{torch.get_num_threads()} threads")]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        facts.append(Fact(f"device cuda:{number}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    return facts


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
