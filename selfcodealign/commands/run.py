"""`selfcodealign run`: run a recipe, from source code to a data set, a tuned model and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.options import JOURNEY, Added, Budgets, Removed, Settings
from selfcodealign.commands.running import (
    as_settings,
    check_engine,
    load,
    open_engine,
    read_budget,
    run_and_report,
    run_one_shard,
    show_plan,
)
from selfcodealign.errors import RecipeError, RunFolderError
from selfcodealign.progress.log import is_verbose

#: Groups of options in the help.
MODEL = "Model and sources"
MACHINES = "Several machines"


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe in the package (quickstart, paper), or your own .toml file.", metavar="RECIPE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The run folder; an existing run is resumed. Default: runs/RECIPE.",
            metavar="FOLDER",
        ),
    ] = None,
    settings: Settings = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Move finished answers of a model to superseded/ where settings changed.")
    ] = False,
    budget: Budgets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what a run would do; run nothing.")
    ] = False,
    all_settings: Annotated[
        bool, typer.Option("--settings", help="With --dry-run: show all settings in force as well.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='The base model: "embedded", a folder, a hub name, or a name that the servers use (model.name).',
            metavar="MODEL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="An OpenAI-compatible server that holds the model (model.urls); may be repeated.",
            metavar="URL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            help="Start a server (vllm) for the model and stop it after the run (model.serve).",
            metavar="ENGINE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Code to take seeds from (seeds.sources): stdlib, package:NAME, git:PATH, hub:NAME, a file or a "
            "folder; or data sets to import (imported.sources); may be repeated.",
            metavar="SOURCE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Use at most this many seeds (seeds.limit), or rows of each data set (imported.limit).",
            min=1,
            metavar="N",
            rich_help_panel=MODEL,
        ),
    ] = None,
    added: Added = None,
    removed: Removed = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this stage.", metavar="STAGE", rich_help_panel=JOURNEY)
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Where row-wise stages work: local, or ray: on the nodes of a Ray cluster.",
            metavar="ENGINE",
            rich_help_panel=MACHINES,
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="With --engine ray: HOST:PORT of the cluster's head, or auto. Default: Ray is started here.",
            metavar="ADDRESS",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Take one of n parts of the rows through the next row-wise stages, i from 0; merge: complete them "
            "when all shards have ended (docs/scaling.md).",
            metavar="i/n",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            help="How programs are walled off (execution.sandbox): auto takes the strongest way that this machine "
            "allows, namespaces or landlock one of them, unsafe none.",
            metavar="MODE",
        ),
    ] = None,
) -> None:
    """Run a recipe: take rows through the stages of its journey.

    Stages: seeds, imported, quality, types, decontamination, near_dedup, behaviour, judge, concepts, instructions,
    prequery, self_instruct, novel, distinct, evolve, evolve_verified, responses, verify, commit_pairs, edits, pairs,
    selection, score_curation, monologues, dataset, train, dpo, grpo, evaluate. The recipe, the model, the sandbox,
    extras and benchmarks are checked before any work.

    A stopped run (Ctrl-C, kill, power) keeps its rows and the model's answers: the same command resumes it. A changed
    setting that affects the rows of a stage restarts that stage; its earlier rows move to superseded/. Where these are
    a model's finished answers, the run stops and says what changed, unless --yes is given. A run whose data set is
    empty says which stage dropped everything, and exits with code 3.

    A budget counts what all runs of a folder have asked of the model. When it is reached, no further rows are asked
    about, the run makes its data set of what there is, and a larger budget goes on.

        selfcodealign run quickstart
        selfcodealign run paper -o runs/mine -m org/base-7b --source git:.
        selfcodealign run paper -o runs/mine --until dataset   # the data alone
        selfcodealign run paper --budget tokens=5M,hours=2
        selfcodealign run verify-foreign --source rows.jsonl
        selfcodealign run -o runs/mine       # resume it, by its own recipe.toml
        selfcodealign run paper -o runs/mine --engine ray --address auto
        selfcodealign run paper -o runs/mine --shard 3/16    # docs/scaling.md
        selfcodealign run paper -o runs/mine --shard merge
    """
    if all_settings and not dry_run:
        raise RecipeError("--settings shows settings with --dry-run only: give both")
    name, folder = _find(recipe, out)
    begins = (
        "imported"
        if (source or limit) and "imported" in load(name, [], added or [], removed or []).journey
        else "seeds"
    )
    given = {"model.name": model, "model.urls": url, "model.serve": serve, f"{begins}.sources": source}
    given |= {f"{begins}.limit": limit, "execution.sandbox": sandbox}
    loaded = load(name, [*(settings or []), *as_settings(given)], added or [], removed or [])
    limits = read_budget(budget)
    check_engine(engine, address, shard)
    if shard is not None:
        if limits or dry_run:
            raise RecipeError("--shard works without --budget and --dry-run: a budget is kept by one process")
        run_one_shard(loaded, folder, shard, until, yes)
    elif dry_run:
        show_plan(loaded, folder, until, None if all_settings or is_verbose() else load(name, [], [], []), limits)
    else:
        run_and_report(loaded, folder, until, yes, limits, open_engine(engine, address))


def _find(recipe: str | None, out: Path | None) -> tuple[str, Path]:
    """Return the recipe and the run folder; either may be omitted if the other implies it."""
    from selfcodealign.run_folder.folder import open_existing

    if recipe is None:
        if out is None:
            raise RecipeError("which recipe? Try: selfcodealign run quickstart")
        if not (out / "recipe.toml").is_file():
            raise RunFolderError(f"{out} holds no run to resume: name a recipe, as in: run quickstart --out {out}")
        open_existing(out).journey()  # a run in the form of an earlier version is refused as that
        return str(out / "recipe.toml"), out
    return recipe, out or Path("runs") / Path(recipe).stem
