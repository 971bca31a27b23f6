"""`selfcodealign check`: look over few-shot files and recipes before a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selfcodealign.commands.options import SANDBOX_HELP
from selfcodealign.errors import FewShotError, RecipeError, UserError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

NO_ARGS_IS_HELP = True


def check(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Few-shot files (.md) and recipes (.toml), or names of those in the package (python, quickstart).",
            metavar="FILE",
        ),
    ],
    sandbox: Annotated[
        str,
        typer.Option(
            help=SANDBOX_HELP,
            metavar="MODE",
        ),
    ] = "auto",
) -> None:
    """Check few-shot files and recipes; run no recipe.

    Few-shot file: read it, run each example's response against its tests in the sandbox, measure the prompts and find
    copies. Recipe: check the journey, all settings, sources, worked examples, packages, model and benchmarks, and say
    what is missing. Exit with code 2 if something has to be fixed.

    Examples:

        selfcodealign check few_shot.md recipe.toml
        selfcodealign check python quickstart
    """
    from rich.console import Console

    from selfcodealign.progress.log import report_error

    console = Console(highlight=False)
    wrong = False
    for name in files:
        try:
            if _kind_of(name) == "recipe":
                _check_recipe(name, console)
            else:
                _check_few_shot(name, sandbox, console)
        except UserError as error:
            wrong = True
            report_error(str(error))
    if wrong:
        raise typer.Exit(UserError.exit_code)


def _kind_of(name: str) -> Literal["recipe", "few-shot"]:
    from selfcodealign.generation.few_shot_file import packaged_names
    from selfcodealign.recipe import shipped_recipes

    recipes, few_shots, path = shipped_recipes(), packaged_names(), Path(name)
    if name in recipes or path.suffix == ".toml":
        return "recipe"
    if name in few_shots or path.suffix == ".md":
        return "few-shot"
    if path.exists():
        raise RecipeError(f"{name} is no few-shot file (.md) and no recipe (.toml): rename it, or check another file")
    known = [*few_shots, *recipes]
    hint = did_you_mean(name, known)
    raise RecipeError(f'no file "{name}"{hint or "; those in the package are " + ", ".join(known)}')


def _check_few_shot(name: str, mode: str, console: Console) -> None:
    """Print what is known of a few-shot file. Raises `FewShotError` that lists the examples that fail."""
    import asyncio

    from rich.table import Table
    from rich.text import Text

    from selfcodealign.generation.few_shot_check import CheckedExample, find_copies, measure_prompts, run_examples
    from selfcodealign.generation.few_shot_file import load_few_shot
    from selfcodealign.recipe import default_recipe
    from selfcodealign.sandbox import Sandbox

    file = load_few_shot(name)
    chosen = default_recipe([f'execution.sandbox="{mode}"']).execution

    async def run() -> list[CheckedExample]:
        async with Sandbox(mode=chosen.sandbox, split=False) as sandbox:
            return await run_examples(file, sandbox)

    console.print(Text(file.path, style="bold"), soft_wrap=True)
    checked = asyncio.run(run()) if file.examples else []
    for one in checked:
        style = "red" if one.failed else ""
        console.print(Text(f"  {one.example.name}: {one.describe()}", style=style), soft_wrap=True)
    table = Table(title="Worked examples", title_justify="left")
    for head in ("prompts", "examples", "mean characters", "about tokens"):
        table.add_column(head, justify="left" if head == "prompts" else "right")
    for size in measure_prompts(file):
        table.add_row(size.kind, f"{size.examples:,}", f"{size.characters:,.0f}", f"{size.tokens:,.0f}")
    console.print(table)
    for sentence in find_copies(file):
        console.print(Text(f"warning: {sentence}", style="yellow"), soft_wrap=True)
    failed = [one for one in checked if one.failed]
    if failed:
        lines = "".join(f'\n  - line {one.example.line}, "{one.example.name}": {one.describe()}' for one in failed)
        raise FewShotError(f"{file.path}: {len(failed)} of {len(checked)} examples fail their own tests:{lines}")


def _check_recipe(name: str, console: Console) -> None:
    """Print what a recipe would run. Raises a `UserError` that lists everything to fix."""
    import asyncio
    import os

    from rich.text import Text

    from selfcodealign.pipeline import plan_recipe
    from selfcodealign.recipe import load_recipe

    recipe = load_recipe(name)
    # A folder that does not exist, where runs are made: no earlier run hides what a new one would find missing.
    folder = Path("runs") / f".check-{os.getpid()}"
    try:
        asyncio.run(plan_recipe(recipe, folder))
    except UserError as error:
        raise RecipeError(f"{name}: {error}") from None
    model = recipe.model
    facts = {
        "journey": " → ".join(recipe.journey),
        "model": (model.name or "the one that the servers hold") + "".join(f" at {url}" for url in model.urls),
        "sources": ", ".join(recipe.seeds.sources),
        "few-shot": recipe.few_shot.file,
    }
    console.print(Text(f"{name}: ready to run", style="bold"), soft_wrap=True)
    for what, text in facts.items():
        console.print(Text(f"  {what:<9} {text}"), soft_wrap=True)
