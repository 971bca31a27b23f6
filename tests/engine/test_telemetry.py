"""Telemetry: lines beside a run, whole after any end, and figures for a collector that is named."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.engine.telemetry import FILE
from selfcodealign.errors import MissingExtra, RecipeError
from selfcodealign.models import Sampling
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import default_recipe
from selfcodealign.report.funnel import read_funnel
from selfcodealign.settings import Recipe
from selfcodealign.telemetry import otlp
from selfcodealign.telemetry.figures import FIGURES
from selfcodealign.telemetry.lines import Lines
from tests.support.collector import FakeCollector
from tests.support.documentation import blocks
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.told import Told

PAGE = ROOT / "docs" / "telemetry.md"


def recipe_of(folder: Path, *settings: str) -> Recipe:
    return small_recipe(write_sources(folder / "source", 6), *settings)


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / FILE).read_text("utf-8").splitlines()]


def work(recipe: Recipe, run: Path, model: ScriptedModel | None = None, until: str = "responses") -> list[str]:
    """Run a recipe; what it said."""
    told = Told()
    asyncio.run(run_recipe(recipe, run, until=until, model=model or scripted_model(), progress=told))
    return told.lines


def test_the_last_line_agrees_with_the_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and drops are those of the funnel, requests those that the model had, and the answers are counted."""
    judge_by_text(monkeypatch)
    model, run = scripted_model(), tmp_path / "run"
    work(recipe_of(tmp_path), run, model)
    last = lines_of(run)[-1]
    assert (last["schema"], last["run"], last["event"]) == (1, 1, "finished")
    assert last["stages"] == "concepts, instructions, responses"
    for stage in read_funnel(run):
        assert last[f"stage.{stage.name}.entered_rows"] == stage.books.entered
        assert last[f"stage.{stage.name}.kept_rows"] == stage.books.kept
        prefix = f"stage.{stage.name}.dropped_rows."
        drops = {name.removeprefix(prefix): count for name, count in last.items() if name.startswith(prefix)}
        assert drops == stage.books.dropped
    assert last["model.requests"] == model.calls
    assert last["model.requests_under_way"] == last["model.waiting_calls"] == 0
    # A few more are asked for ahead of the verdicts, and not needed.
    assert 0 < last["samples.answers"] <= last["stage.responses.requests"]
    assert last["samples.verified_answers"] == last["stage.responses.kept_rows"]
    tokens = last["model.prompt_tokens"] + last["model.answer_tokens"]
    assert last["samples.tokens_per_verified"] == pytest.approx(tokens / last["samples.verified_answers"], rel=1e-5)
    assert last["process.rss_bytes"] > 2**20
    assert "model.cached_share" not in last, "a scripted model does not tell"


def test_a_resumed_run_appends_and_cuts_a_torn_line_off(tmp_path: Path) -> None:
    """The lines of an earlier run stay, the torn one goes, and the next run has the next number."""
    recipe, run = recipe_of(tmp_path), tmp_path / "run"

    def fail(prompt: str, sampling: Sampling, seed: int) -> str:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        work(recipe, run, ScriptedModel(fail), until="concepts")
    first = (run / FILE).read_bytes()
    assert json.loads(first.splitlines()[-1])["event"] == "stopped"
    (run / FILE).write_bytes(first + first[:40])
    work(recipe, run, until="concepts")
    assert (run / FILE).read_bytes().startswith(first)
    found = lines_of(run)
    before = len(first.splitlines())
    assert [line["run"] for line in found] == [1] * before + [2] * (len(found) - before)
    assert found[-1]["stage.concepts.entered_rows"] == 6


def test_lines_come_while_stages_work(tmp_path: Path) -> None:
    """A run writes while its requests are under way."""
    run = tmp_path / "run"
    asked = asyncio.Event()

    class Slow(ScriptedModel):
        async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Any:
            while not (run / FILE).exists() or lines_of(run)[-1].get("model.requests_under_way", 0) < 1:
                await asyncio.sleep(0.01)
            asked.set()
            return await super().complete(prompt, sampling, seed=seed)

        def under_way(self) -> Any:
            return import_module("selfcodealign.models").UnderWay(requests=1)

    work(recipe_of(tmp_path, "telemetry.seconds=0.02"), run, Slow(answer), until="concepts")
    assert any(line["event"] == "working" and line["stages"] == "concepts" for line in lines_of(run))


def test_no_file_where_it_is_switched_off(tmp_path: Path) -> None:
    """telemetry.seconds = 0 writes nothing."""
    work(recipe_of(tmp_path, "telemetry.seconds=0"), tmp_path / "run", until="seeds")
    assert not (tmp_path / "run" / FILE).exists()


def test_a_disk_that_takes_no_line_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends well."""

    def refuse(self: Lines, line: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Lines, "write", refuse)
    said = work(recipe_of(tmp_path), tmp_path / "run", until="concepts")
    assert len([line for line in said if "telemetry is lost" in line and "No space left" in line]) == 1
    assert read_funnel(tmp_path / "run")[-1].books.entered == 6


def test_a_line_that_the_disk_refuses_leaves_the_file_as_it_was() -> None:
    """/dev/full takes nothing: the error reaches the caller."""
    with pytest.raises(OSError, match="No space left"):
        Lines(Path("/dev/full")).write({"schema": 1})


def test_the_page_has_all_figures_with_their_units() -> None:
    """The table of docs/telemetry.md is the list in the program."""
    page = PAGE.read_text("utf-8")
    for figure in FIGURES.values():
        kind = "total" if figure.total else "now"
        assert f"| `{figure.name}` | {figure.unit} | {kind} | {figure.meaning} |" in page


def test_the_questions_of_the_page_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB and pandas read the file of a run with the page's own code."""
    judge_by_text(monkeypatch)
    work(recipe_of(tmp_path), tmp_path / "run")
    names: dict[str, Any] = {}
    (block,) = blocks(PAGE, "python")
    exec(compile(block, PAGE.name, "exec"), names)
    path = str(tmp_path / "run" / FILE)
    assert len(names["answers_per_second"](path).fetchall()) == len(lines_of(tmp_path / "run"))
    assert names["drops"](path)["stage.responses.dropped_rows.failed"] > 0


# ------------------------------------------------------------------------------------------------------ a collector


def test_an_address_that_is_none_and_one_without_lines_are_refused() -> None:
    """Before any work, in one line."""
    for settings in (["telemetry.otlp=collector:4318"], ["telemetry.otlp=http://host", "telemetry.seconds=0"]):
        with pytest.raises(RecipeError, match=r"telemetry"):
            default_recipe(settings)


def test_missing_packages_are_told_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run says which extra to install."""

    def find_nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(otlp, "find_spec", find_nothing)
    recipe = recipe_of(tmp_path, "telemetry.otlp=http://localhost:1")
    with pytest.raises(MissingExtra, match="otel"):
        asyncio.run(plan_recipe(recipe, tmp_path / "run", model=scripted_model()))


def test_a_collector_gets_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded as OTLP, the last request has the numbers of the last line."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    messages: Any = import_module("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    judge_by_text(monkeypatch)
    run = tmp_path / "run"
    with FakeCollector() as collector:
        work(recipe_of(tmp_path, f"telemetry.otlp={collector.address}"), run)
    path, body = collector.bodies[-1]
    assert path == "/v1/metrics"
    (sent,) = messages.ExportMetricsServiceRequest.FromString(body).resource_metrics
    about = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert about["selfcodealign.folder"] == "run"
    found = {}
    for metric in sent.scope_metrics[0].metrics:
        for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points:
            of = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
            found[metric.name, of] = point.as_int or point.as_double
    last = lines_of(run)[-1]
    assert found["selfcodealign.stage.kept_rows", (("stage", "responses"),)] == last["stage.responses.kept_rows"]
    drops = found["selfcodealign.stage.dropped_rows", (("reason", "failed"), ("stage", "responses"))]
    assert drops == last["stage.responses.dropped_rows.failed"]


def test_a_collector_that_is_gone_is_told_of_once(tmp_path: Path) -> None:
    """The run ends well, and says it in one line without the address's password."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    recipe = recipe_of(tmp_path, "telemetry.otlp=http://me:hunter22@127.0.0.1:9", "telemetry.seconds=0.05")
    said = work(recipe, tmp_path / "run", until="concepts")
    assert len([line for line in said if "telemetry is lost" in line]) <= 1
    assert "hunter22" not in "".join(said) + (tmp_path / "run" / "recipe.toml").read_text("utf-8")


def test_variables_of_the_environment_alone_send_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_ENDPOINT is no consent."""
    with FakeCollector() as collector:
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
            monkeypatch.setenv(name, collector.address)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        work(recipe_of(tmp_path), tmp_path / "run", until="seeds")
    assert collector.bodies == []
