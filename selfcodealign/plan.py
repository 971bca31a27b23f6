"""What a run would do, without doing it: `selfcodealign run --dry-run`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfcodealign.generation.few_shot_file import FewShotFile, load_few_shot
from selfcodealign.pipeline import STAGES, check_stage
from selfcodealign.recipe import recipe_toml
from selfcodealign.run_folder.folder import KINDS, RunFolder
from selfcodealign.settings import Recipe, Section
from selfcodealign.sources import iterate_source_files


def describe_plan(recipe: Recipe, out: Path, until: str, console: Console) -> None:
    """Check recipe, few-shot file and sources, and print the settings and what is left to do of each stage.

    Raises the same `UserError` as a run would; the model and the sandbox are not opened.
    """
    check_stage(until)
    few_shot = load_few_shot(recipe.few_shot.file)
    _check_few_shot(recipe, few_shot)
    iterate_source_files(recipe.seeds)
    console.print(Text(recipe_toml(recipe).strip()))
    table = Table(title=f"What a run would do in {out}", title_justify="left")
    for name in ("stage", "what"):
        table.add_column(name)
    folder = RunFolder(out)
    for name in STAGES[: STAGES.index(until) + 1]:
        table.add_row(name, Text(_what(folder, name, recipe)))
    console.print(table)


def _check_few_shot(recipe: Recipe, few_shot: FewShotFile) -> None:
    """Raise `FewShotError` when a stage would ask for more examples than there are."""
    wanted = {"responses": recipe.responses.examples}
    wanted["instructions" if recipe.concepts.enabled else "instructions-from-seed"] = recipe.instructions.examples
    if recipe.concepts.enabled:
        wanted["concepts"] = recipe.concepts.examples
    if recipe.judge.enabled:
        wanted["judge"] = recipe.judge.examples
    for stage, count in wanted.items():
        few_shot.pool(stage, count)


def _what(folder: RunFolder, name: str, recipe: Recipe) -> str:
    settings = _settings(recipe, name)
    if settings is None:
        return "left out by the recipe"
    stage = folder.look_at(name) if name in KINDS else None
    if stage is None:
        return "from the beginning"
    before = settings.with_current_names(stage.state()["settings"])
    changed = [key for key, value in settings.deciding().items() if before.get(key) != value and key != "limit"]
    if changed:
        return f"anew, because of {', '.join(changed)}; the earlier rows are kept in superseded/"
    books = stage.books()
    rows = f"{books.kept} rows kept of {books.entered}"
    return f"only rows that are new: {rows}" if stage.finished else f"go on: {rows} so far"


def _settings(recipe: Recipe, name: str) -> Section | None:
    """The section that a stage's stage.json records; None for a stage that the recipe leaves out."""
    if name == "judge":
        return recipe.judge if recipe.judge.enabled else None
    if name in ("train", "evaluate"):
        settings = getattr(recipe, name)
        return settings if settings.enabled else None
    if name == "distinct":
        return recipe.instructions if recipe.instructions.distinct else None
    same = {"dataset": recipe.selection}
    return same.get(name) or getattr(recipe, name)
