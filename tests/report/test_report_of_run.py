"""A run ends with its report: finished, stopped by a budget, or without a row; and a report that fails costs no run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from selfcodealign import Budget, ScriptedModel, run_recipe
from selfcodealign.errors import EmptyDataset, RunFolderError
from selfcodealign.report import facts
from selfcodealign.report.funnel import print_funnel, read_funnel
from selfcodealign.settings import Recipe
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.page_parts import read_page
from tests.support.told import Told


@pytest.fixture
def recipe_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """A small recipe whose answers are judged without a sandbox."""
    judge_by_text(monkeypatch)
    sources = write_sources(tmp_path / "source", 6)
    return lambda *settings: small_recipe(sources, *settings)


async def test_a_run_ends_with_its_report(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    """The page stands in the folder with the run's own counts; the result and the funnel name it."""
    told, run = Told(), tmp_path / "run"
    result = await run_recipe(recipe_of(), run, model=scripted_model(), progress=told)
    assert result.report == run / "report.html"
    page = " ".join(read_page((run / "report.html").read_text("utf-8")).text.split())
    for stage in read_funnel(run):
        assert f"{stage.books.kept:,} {stage.stayed} kept" in page
    assert "task_" in page
    assert f"report: {run / 'report.html'}" in str(result)
    console = Console(width=200)
    with console.capture() as shown:
        print_funnel(run, console)
    assert shown.get().splitlines()[-1] == f"report: {run / 'report.html'}"


async def test_a_resumed_run_writes_its_report_again(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    """The page is that of the whole run, also after one that came to its first stages only."""
    run = tmp_path / "run"
    await run_recipe(recipe_of(), run, model=scripted_model(), until="concepts")
    assert "not finished" in (run / "report.html").read_text("utf-8")
    await run_recipe(recipe_of(), run, model=scripted_model())
    assert "not finished" not in (run / "report.html").read_text("utf-8")


async def test_a_run_without_rows_has_a_report(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    """The page of an empty data set says where all rows went."""
    run = tmp_path / "run"
    with pytest.raises(EmptyDataset):
        await run_recipe(recipe_of(), run, model=ScriptedModel(lambda *_: "no answer"))
    assert "unparsed" in (run / "report.html").read_text("utf-8")


async def test_a_run_that_a_budget_stopped_has_a_report(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    """The state of the page is the stop."""
    run = tmp_path / "run"
    result = await run_recipe(recipe_of(), run, model=scripted_model(), budget=Budget(tokens=20_000))
    assert result.stopped
    assert "stopped by its budget" in (run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("error", "reason"), [(ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"), (RunFolderError("torn"), "torn")]
)
async def test_a_report_that_fails_costs_no_run(
    error: Exception,
    reason: str,
    recipe_of: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning with the command that writes it; the result has no report, and all else."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(facts, "read_facts", fail)
    with caplog.at_level(logging.WARNING, "selfcodealign"):
        result = await run_recipe(recipe_of(), tmp_path / "a run", model=scripted_model())
    assert result.report is None
    assert result.dataset is not None
    (line,) = [record.getMessage() for record in caplog.records if "report" in record.getMessage()]
    assert line == (f"the report was not written ({reason}); try: selfcodealign report '{tmp_path / 'a run'}'")


async def test_a_full_disk_leaves_the_earlier_report(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    """The page is written whole or not at all."""
    run = tmp_path / "run"
    await run_recipe(recipe_of(), run, model=scripted_model(), until="concepts")
    before = (run / "report.html").read_bytes()
    (run / ".report.html.tmp").mkdir()
    result = await run_recipe(recipe_of(), run, model=scripted_model())
    assert result.report is None
    assert (run / "report.html").read_bytes() == before


def test_facts_that_cannot_be_read_are_warnings_on_the_page() -> None:
    """What the facts say about damage stands at the top."""
    from selfcodealign.report.page.render import render
    from tests.support.report_facts import make_facts

    page = render(replace(make_facts(), warnings=["evaluation/scores.json: not JSON"]))
    assert "evaluation/scores.json: not JSON" in page
