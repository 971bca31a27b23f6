"""A stage that drops most of its rows says so once, while it runs."""

from __future__ import annotations

import shlex
from pathlib import Path

from typer.testing import CliRunner

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.cli import app
from selfcodealign.engine.drops import DropWatch
from selfcodealign.rows import Dropped, Seed
from selfcodealign.run_folder.folder import RunFolder
from tests.support.flows import SEEDS, run_flow
from tests.support.journey import answer, small_recipe, write_sources
from tests.support.rows import make_seed
from tests.support.told import Told

DROP = [Dropped(parent="0", reason="judged_no", detail="", row={})]
KEPT = [make_seed(1)]


def watch(*outcomes: list) -> list[int]:  # type: ignore[type-arg]
    """The numbers of the rows after which something was said."""
    one = DropWatch(Path("run"), "judge")
    return [number for number, outcome in enumerate(outcomes, 1) if one.add(outcome)]


def test_it_is_told_once_and_not_before_twenty_rows() -> None:
    """More than four in five have to be dropped."""
    assert watch(*[DROP] * 60) == [20]
    assert watch(*[DROP] * 19) == []
    assert watch(*[DROP] * 16, *[KEPT] * 4) == []
    assert watch(*[KEPT] * 10, *[DROP] * 60) == [51]
    assert watch(*[[]] * 60) == []


def test_a_row_of_which_anything_was_kept_counts_as_kept() -> None:
    """Nine failed answers and a verified one are what the stage is for."""
    assert watch(*[[*DROP * 9, *KEPT]] * 60) == []


def test_a_reason_without_a_known_meaning_is_told_too() -> None:
    """Of a stage of one's own, say."""
    one = DropWatch(Path("a run"), "own")
    lines = [one.add([Dropped(parent="0", reason="short", detail="", row={})]) for _ in range(20)]
    assert lines[-1] == (
        "own: nothing was kept of 20 of the first 20 rows, mostly short (20). Some of them: selfcodealign show 'a run' "
        "--stage own --reason short --sample 3"
    )


async def test_a_judge_that_says_no_to_everything_is_named_and_the_command_shows_rows(tmp_path: Path) -> None:
    """One line during the run; the command in it prints three of the rows."""

    def script(prompt: str, sampling: Sampling, seed: int) -> str:
        return "no\n" if prompt.endswith("<judgement>\n") else answer(prompt, sampling, seed)

    told = Told()
    recipe = small_recipe(write_sources(tmp_path / "source", 30), added=["judge"])
    await run_recipe(recipe, tmp_path / "run", until="judge", model=ScriptedModel(script), progress=told)
    (line,) = [line for line in told.lines if "nothing was kept" in line]
    assert line.startswith(
        "judge: nothing was kept of 20 of the first 20 rows, mostly judged_no (20): a weak model says no"
    )
    command = shlex.split(line.partition("selfcodealign ")[2])
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "judged_no: 3 of 30" in shown.output


async def test_a_resumed_run_says_which_rows_it_counts(tmp_path: Path) -> None:
    """Those of this process alone: thirty rows were finished before."""

    async def drop(seed: Seed) -> list[Dropped]:
        return [Dropped(parent=seed.id, reason="short", detail="", row=seed.fields())]

    lines = []
    for count in (30, 60):
        told = Told()
        with RunFolder(tmp_path / "run") as folder:
            await run_flow(folder, SEEDS[:count], concepts=drop, stages=1, progress=told)
        (line,) = [line for line in told.lines if "nothing was kept" in line]
        lines.append(line)
    assert "of 20 of the first 20 rows, mostly" in lines[0]
    assert "of 20 of the first 20 rows since the run was resumed, mostly" in lines[1]
