"""`selfcodealign doctor`: what this machine offers."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.commands.options import SandboxMode
from selfcodealign.errors import UserError
from selfcodealign.installation import install_extra

if TYPE_CHECKING:
    from rich.console import Console

    from selfcodealign.judging.conformance.suite import ConformanceProgram

#: Groups of options in the help.
SUITE, OTHER = "Verdicts", "Verdicts of another judge"

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
    verdicts: Annotated[
        bool,
        typer.Option("--verdicts", help="Run the conformance suite instead.", rich_help_panel=SUITE),
    ] = False,
    sandbox: Annotated[
        SandboxMode,
        typer.Option(
            help="Which way of walling off is tried: auto takes each that this machine allows, namespaces or landlock "
            "one of them.",
            metavar="MODE",
            rich_help_panel=SUITE,
        ),
    ] = SandboxMode.AUTO,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the suite as JSON Lines to this new file, and run nothing.",
            metavar="FILE",
            rich_help_panel=SUITE,
            show_default=False,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="A command that reads rows from its standard input and writes a verdict for each, in JSON Lines.",
            metavar="COMMAND",
            rich_help_panel=OTHER,
            show_default=False,
        ),
    ] = None,
    judge_timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="End the judge when it gives no verdict for so long.",
            metavar="SECONDS",
            rich_help_panel=OTHER,
        ),
    ] = 300.0,
    hostile: Annotated[
        bool,
        typer.Option(
            "--hostile",
            help="Include the hostile programs in --judge and --export. Use it only where the judge has walls: they "
            "take time, memory, processes and disk, and reach for files and the network.",
            rich_help_panel=OTHER,
        ),
    ] = False,
) -> None:
    """Show what this machine offers: the sandbox's walls, each proven by a probe; devices, versions, free disk.

    Exit with code 1 if programs cannot run safely here.

    With --verdicts, run the conformance suite: honest, broken, vacuous, forged and hostile programs with the status
    that each must get, in every mode of the sandbox that this machine allows. Hostile programs run only after every
    wall was probed and held. Exit with code 1 if a program gets another status.

    With --judge, another judge is asked about the same programs. It gets one row per line with id, kind, response,
    tests, program (response and tests in one text) and needs (libraries), and writes, in any order, one line per row
    with its id and passed (true or false), or status, of which only "passed" is a pass. It runs with your rights,
    outside of the sandbox.

    Examples:

        selfcodealign doctor --verdicts
        selfcodealign doctor --verdicts --judge "python my_judge.py"
    """
    if verdicts:
        raise typer.Exit(_show_verdicts(sandbox, export, judge, judge_timeout, hostile))
    given = {"--judge": judge is not None, "--export": export is not None, "--hostile": hostile}
    for option in (name for name, is_given in given.items() if is_given):
        raise UserError(f"{option} is about the conformance suite: give --verdicts as well")
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


def _show_verdicts(
    sandbox: SandboxMode, export: Path | None, judge: str | None, judge_timeout: float, hostile: bool
) -> int:
    """Run, export or ask about the conformance suite; return the exit code."""
    from rich.console import Console

    from selfcodealign.judging.conformance.suite import load_suite

    programs = load_suite()
    if hostile and judge is None and export is None:
        raise UserError("--hostile belongs to --judge and --export; the sandbox of this machine runs them anyway")
    if sandbox is not SandboxMode.AUTO and (judge is not None or export is not None):
        raise UserError("--sandbox is for the sandbox of this machine: leave it out with --judge and --export")
    if judge is not None and export is not None:
        raise UserError("--judge and --export exclude each other: the first asks a judge, the second writes a file")
    if judge is not None or export is not None:
        programs = [one for one in programs if hostile or one.kind != "hostile"]
    if export is not None:
        return _export(programs, export)
    console = Console()
    return _ask(programs, judge, judge_timeout, console) if judge is not None else _judge(programs, sandbox, console)


def _export(programs: list[ConformanceProgram], target: Path) -> int:
    from selfcodealign.files import write_json_lines

    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists: name a new file to write")
    write_json_lines(target, (one.full_row() for one in programs))
    print(f"{len(programs)} programs written to {target}")
    return 0


def _ask(programs: list[ConformanceProgram], judge: str, timeout: float, console: Console) -> int:
    import asyncio

    from selfcodealign.judging.conformance.other import ask_judge
    from selfcodealign.judging.conformance.report import print_answers
    from selfcodealign.progress.terminal import open_progress

    with open_progress() as progress:
        answers = asyncio.run(ask_judge(judge, programs, timeout, progress))
    return 1 if print_answers(programs, answers, console) else 0


def _judge(programs: list[ConformanceProgram], sandbox: SandboxMode, console: Console) -> int:
    import asyncio

    from selfcodealign.judging.conformance.own import judge_suite
    from selfcodealign.judging.conformance.report import print_own_run
    from selfcodealign.progress.terminal import open_progress

    if sandbox is SandboxMode.UNSAFE:
        raise UserError("--verdicts runs forged and hostile programs behind walls only: choose another --sandbox")
    modes = ("namespaces", "landlock") if sandbox is SandboxMode.AUTO else (sandbox.value,)
    runs = 0
    code = 0
    for mode in modes:
        with open_progress() as progress:
            run = asyncio.run(judge_suite(programs, mode, progress))
        if isinstance(run, str):
            console.print(
                f"{mode}: this machine does not allow it: {run}", markup=False, highlight=False, soft_wrap=True
            )
            continue
        runs += 1
        print_own_run(run, console)
        code = code or (1 if run.deviations or run.missing_walls else 0)
    return code if runs else 1


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
