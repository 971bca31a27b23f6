"""`selfcodealign plan`: run a pilot, and say what the whole run would come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.options import Settings
from selfcodealign.errors import RecipeError

NO_ARGS_IS_HELP = True
MACHINES = "Many machines"


def plan(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe in the package (quickstart, paper), or your own .toml file.", metavar="RECIPE"),
    ],
    examples: Annotated[int | None, typer.Option(help="Plan a data set of N examples.", min=1, metavar="N")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Plan a run of N seeds; default: those in the sources.", min=1, metavar="N")
    ] = None,
    pilot: Annotated[int, typer.Option(help="Seeds of the pilot.", min=2, metavar="N")] = 50,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The pilot's run folder, kept and resumed. Default: runs/RECIPE-pilot.",
            metavar="FOLDER",
        ),
    ] = None,
    settings: Settings = None,
    servers: Annotated[
        int, typer.Option(help="Servers of the planned run, as fast as the pilot's.", min=1, metavar="N")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Work out the run, and the published one, on N nodes.", metavar="N", rich_help_panel=MACHINES
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, help="Cores of a node; default: this machine's.", metavar="N", rich_help_panel=MACHINES),
    ] = None,
    server_tokens: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Tokens of prompts and answers that one server takes in a second; default: the pilot's.",
            metavar="N",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="GiB of memory of a node; default: this machine's.", metavar="GIB", rich_help_panel=MACHINES
        ),
    ] = None,
) -> None:
    """Run a pilot of a recipe, and say what the whole run would come to.

    The pilot is a real run of about 50 seeds through all stages that lead to the data set, in a folder that is kept:
    the same command resumes it, or only prints again. Then: what each stage kept, the seeds for N examples or the
    examples of N seeds, tokens, hours of servers and of execution, disk, and cost where [prices] are set, each with an
    interval that 9 of 10 larger runs meet.

    With --nodes, what the pilot's rows took is worked out for N nodes: hours of each stage, memory, disk, files, what
    breaks first, and how many nodes still help; for the planned run, and for the published one, 10 and 1000 times it.

        selfcodealign plan quickstart
        selfcodealign plan mine.toml --seeds 50000 --set prices.server_hour=2.5
        selfcodealign plan mine.toml --nodes 16 --cores 64 --servers 8
    """
    import json

    from rich.console import Console

    from selfcodealign.commands.running import load
    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.experiments.forecast.capacity import capacity_json
    from selfcodealign.experiments.forecast.machines import Asked, draw_capacity, plan_capacity
    from selfcodealign.experiments.forecast.plan import Wanted, draw, run_pilot
    from selfcodealign.progress.terminal import open_progress

    if examples is not None and seeds is not None:
        raise RecipeError("--examples and --seeds are two questions: give one of them")
    if nodes is None and (cores or server_tokens or memory):
        raise RecipeError("--cores, --server-tokens and --memory are those of many machines: give --nodes as well")
    loaded = load(recipe, settings or [], [], [])
    folder = out or Path("runs") / f"{Path(recipe).stem}-pilot"
    with open_progress() as progress:
        work = run_pilot(loaded, folder, Wanted(examples, seeds, pilot), progress=progress)
        found = run_stoppable(work, progress, "all finished rows are")
    capacity = None
    if nodes is not None:
        asked = Asked(nodes, cores, servers, server_tokens, memory)
        capacity = plan_capacity(folder, loaded, found.seeds.expected, asked)
    if as_json:
        told = found.json()
        if capacity is not None:
            told["capacity"] = capacity_json(capacity.machines, capacity.sizes, capacity.notes)
        print(json.dumps(told, indent=1))
        return
    Console().print(draw(found, servers, loaded.prices.currency))
    if capacity is not None:
        Console().print(draw_capacity(capacity))
