"""`selfcodealign show`: show the funnel of a run, some rows of a stage, or everything about one row."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.errors import RunFolderError

if TYPE_CHECKING:
    from rich.console import Console

NO_ARGS_IS_HELP = True
ROWS = "Rows of a stage"


def show(
    run: Annotated[
        Path,
        typer.Argument(help="A run folder; the run may be in progress. Or an evaluation's folder.", metavar="RUN"),
    ],
    row: Annotated[
        str | None,
        typer.Argument(help="Id of a row (seed, concepts, instruction, response), or its first digits.", metavar="ROW"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also pass rates, lengths, concepts, contamination, scores, digests."),
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option(help="Show rows of this stage, kept and dropped.", metavar="STAGE", rich_help_panel=ROWS),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            help="Only rows that were dropped for this reason, or kept.", metavar="REASON", rich_help_panel=ROWS
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Draw N rows at random; default: 5.", min=1, metavar="N", rich_help_panel=ROWS),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the draw; another one gives other rows.", metavar="SEED", rich_help_panel=ROWS),
    ] = None,
    prompt: Annotated[
        bool,
        typer.Option("--prompt", help="Print the exact prompts of ROW and the texts that came back."),
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long texts.", rich_help_panel=ROWS)] = False,
) -> None:
    """Show how many rows each stage kept and dropped and why, some rows of a stage, or everything about one row.

    Of an evaluation's folder: its table of scores, or some answers.

    Examples:

        selfcodealign show runs/quickstart
        selfcodealign show runs/quickstart --all
        selfcodealign show runs/quickstart --stage responses --reason failed
        selfcodealign show runs/quickstart 3f9a
        selfcodealign show runs/quickstart 3f9a --prompt
        selfcodealign show runs/quickstart/evaluation --reason no_code --sample 3
    """
    import json

    from rich.console import Console

    from selfcodealign.report.answers import find_evaluation, read_scores, sample_answers, tell_answers
    from selfcodealign.report.funnel import funnel_json, print_funnel
    from selfcodealign.report.sample import id_to_try, sample_json, sample_rows, tell_sample
    from selfcodealign.report.story import tell_story

    console = Console()
    of_a_stage = bool(stage or reason)
    if not of_a_stage and (sample is not None or seed is not None or full):
        raise RunFolderError("--sample, --seed and --full go with --stage or --reason: which rows?")
    if row is not None and (of_a_stage or as_json):
        raise RunFolderError(f"{row} is one row, shown whole: leave out --stage, --reason and --json, or the row")
    if prompt and row is None:
        raise RunFolderError("--prompt goes with the id of a row: which one?")
    if everything and (row is not None or of_a_stage):
        raise RunFolderError("--all tells of the whole run: leave out the row, --stage and --reason, or --all")
    evaluation = find_evaluation(run, stage) if row is None else None
    if everything and evaluation is not None:
        raise RunFolderError(f"{run} is an evaluation, shown whole: leave out --all, or name the run")
    if everything:
        _print_all(run, console, as_json=as_json)
    elif row is not None and prompt:
        _print_prompts(run, row.lower())
    elif row is not None:
        for part in tell_story(run, row.lower()):
            console.print(part)
    elif evaluation is not None and not of_a_stage:
        print(read_scores(evaluation, as_json=as_json))
    elif evaluation is not None:
        answers = sample_answers(evaluation, reason, sample or 5, seed or 0)
        if as_json:
            print(json.dumps(answers, indent=1, ensure_ascii=False))
            return
        for part in tell_answers(answers, full=full):
            console.print(part)
    elif of_a_stage:
        found = sample_rows(run, stage, reason, sample or 5, seed or 0)
        if as_json:
            print(sample_json(found))
            return
        for part in tell_sample(found, full=full):
            console.print(part)
    elif as_json:
        print(funnel_json(run))
    else:
        print_funnel(run, console)
        more = f"all figures: selfcodealign show {run} --all; as a page: selfcodealign report {run}"
        console.print(more, soft_wrap=True, highlight=False)
        if example := id_to_try(run):
            console.print(f"one row's story: selfcodealign show {run} {example}", soft_wrap=True, highlight=False)


def _print_all(run: Path, console: Console, *, as_json: bool) -> None:
    """Print all facts of a run; as JSON with the rows that the page shows whole."""
    import json

    from selfcodealign.report.facts import read_facts
    from selfcodealign.report.facts.values import facts_values
    from selfcodealign.report.telling import tell_facts

    if as_json:
        print(json.dumps(facts_values(read_facts(run)), indent=1, ensure_ascii=True))
        return
    for part in tell_facts(read_facts(run, shown=0)):
        console.print(part)


def _print_prompts(run: Path, row_id: str) -> None:
    """Print the prompts of a row, of its ancestors and of its descendants, each once, without wrapping a line."""
    from selfcodealign.pipeline import make_journey
    from selfcodealign.recipe import load_recipe
    from selfcodealign.report.story import find_rows
    from selfcodealign.report.visible import show_text
    from selfcodealign.run_folder.folder import RunFolder
    from selfcodealign.stages.context import Context
    from selfcodealign.stages.laid_out import prompts_of

    rows = find_rows(run, row_id)
    recipe = load_recipe(run / "recipe.toml")
    context = Context(recipe, make_journey(recipe).places, RunFolder(run))
    # Exact to a pipe; a terminal would obey what a text says to it.
    shown = show_text if sys.stdout.isatty() else str
    printed = set()
    for row in rows:
        for asked in prompts_of(context, row):
            if asked in printed:
                continue
            printed.add(asked)
            print(f"===== {asked.stage}: the prompt =====\n{shown(asked.prompt)}")
            print(f"===== {asked.stage}: what came back =====\n{shown(asked.answer)}\n")
            if asked.changed:
                print(f"{recipe.few_shot.file} has changed since: the prompt of the run had other worked examples\n")
    if not printed:
        raise RunFolderError(f"no model was asked about {row_id} in this run")
