"""The whole journey with a scripted model and the real sandbox: completed, resumed, changed, interrupted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.errors import EmptyDataset, ModelError, RecipeError, RunFolderError, SourceError
from selfcodealign.models import Completion, PromptTooLong, RequestFailed, Sampling
from selfcodealign.pipeline import plan_recipe
from selfcodealign.settings import PERMISSIVE
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import KILLED, books, claims_of, everything, rows_of
from tests.support.told import Told


async def test_the_journey_ends_with_a_data_set_of_verified_rows(tmp_path: Path) -> None:
    """From files to Parquet: every example passed its tests, every drop has a reason, every stage balances."""
    recipe = small_recipe(write_sources(tmp_path / "source", 12))
    run = tmp_path / "run"
    await run_recipe(recipe, run, model=scripted_model())
    found = books(run)
    assert found["seeds"][:2] == (12, 12)
    assert found["concepts"] == (12, 12, {})
    assert found["instructions"] == (12, 12, {})
    entered, kept, dropped = found["responses"]
    assert entered == 12
    assert kept >= 8
    assert set(dropped) <= {"failed", "unparsed"}
    assert {row["status"] for row in rows_of(run, "responses")} == {"passed"}
    assert found["selection"][1] == kept
    dataset = pq.read_table(run / "dataset" / "data").to_pylist()
    assert len(dataset) == kept
    for row in dataset:
        assert row["messages"][0] == {"role": "user", "content": row["instruction"]}
        assert row["messages"][1] == {"role": "assistant", "content": row["response"]}
        assert row["mutation_score"] > 0.5
        assert row["concepts"][:2] == ["arithmetic", "rounding"]
        assert 0 < row["pass_rate"] <= 1
    card = (run / "dataset" / "README.md").read_text()
    assert "`scripted`" in card
    assert "They were **not** compared with any other benchmark" in card
    assert "| responses (instructions → responses) | 12 |" in card


async def test_code_of_other_licences_is_dropped_and_own_code_is_not(tmp_path: Path) -> None:
    """A GPL checkout gives no seed, and the log says so with the setting to use; the drop holds the whole seed."""
    sources = write_sources(tmp_path / "source", 3)
    (sources / "alder_0.py").write_text(
        "# SPDX-License-Identifier: GPL-3.0-only\n" + (sources / "alder_0.py").read_text()
    )
    settings = (f"seeds.licences={json.dumps(PERMISSIVE)}",)
    told = Told()
    await run_recipe(small_recipe(sources, *settings), tmp_path / "run", until="seeds", progress=told)
    assert books(tmp_path / "run")["seeds"] == (3, 0, {"licence": 3})
    dropped = rows_of(tmp_path / "run", "seeds", "dropped")
    assert sorted(row["detail"] for row in dropped) == ["GPL-3.0-only", "unknown", "unknown"]
    (line,) = [line for line in told.lines if "seeds.own_code" in line]
    assert line.startswith(
        f"{sources}: no file has a licence among seeds.licences (files by licence: unknown 2, GPL-3.0"
    )
    own = small_recipe(sources, *settings, f'seeds.own_code=["{sources}"]')
    await run_recipe(own, tmp_path / "own", until="seeds", progress=told)
    assert sum("your own code states no licence" in line for line in told.lines) == 1
    kept = rows_of(tmp_path / "own", "seeds")
    assert {row["seed_id"] for row in kept} == {row["seed_id"] for row in dropped}
    with pytest.raises(SourceError, match=r"seeds\.own_code names"):
        await run_recipe(small_recipe(sources, 'seeds.own_code=["here"]'), tmp_path / "no", until="seeds")
    assumed = small_recipe(sources, *settings, "seeds.licence=MIT")
    await run_recipe(assumed, tmp_path / "mit", until="seeds")
    assert books(tmp_path / "mit")["seeds"] == (3, 2, {"licence": 1})


async def test_the_data_set_loads_with_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets.load_dataset(RUN/dataset)` gives the rows, offline."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    recipe = small_recipe(write_sources(tmp_path / "source", 4))
    await run_recipe(recipe, tmp_path / "run", model=scripted_model())
    loaded = datasets.load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == books(tmp_path / "run")["selection"][1]
    assert set(loaded[0]["messages"][0]) == {"role", "content"}


async def test_a_finished_run_calls_no_model_and_executes_nothing(tmp_path: Path) -> None:
    """A second call changes no row; a model that always fails is never called."""
    recipe = small_recipe(write_sources(tmp_path / "source", 6))
    await run_recipe(recipe, tmp_path / "run", model=scripted_model())
    before = everything(tmp_path / "run")
    dead = scripted_model(fail_after=0)
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "responses").glob("*.parquet")}
    await run_recipe(recipe, tmp_path / "run", model=dead)
    assert dead.calls == 0
    assert everything(tmp_path / "run") == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "responses").glob("*.parquet")} == shards


async def test_two_runs_of_one_recipe_give_the_same_rows(tmp_path: Path) -> None:
    """For any order of completions: same ids, same draws, same texts, same verdicts."""
    sources = write_sources(tmp_path / "source", 8)
    recipe = small_recipe(sources)
    await run_recipe(recipe, tmp_path / "a", model=scripted_model(concurrency=1))
    await run_recipe(recipe, tmp_path / "b", model=scripted_model(concurrency=50, latency=0.003))
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


async def test_another_random_seed_draws_everything_anew(tmp_path: Path) -> None:
    """`random_seed` changes the samples, and a message names the stages that restart."""
    sources = write_sources(tmp_path / "source", 5)
    await run_recipe(small_recipe(sources), tmp_path / "run", model=scripted_model())
    before = {row["instruction"] for row in rows_of(tmp_path / "run", "instructions")}
    told = Told()
    await run_recipe(
        small_recipe(sources, "random_seed=1"),
        tmp_path / "run",
        progress=told,
        model=scripted_model(),
        replace_finished=True,
    )
    assert not before & {row["instruction"] for row in rows_of(tmp_path / "run", "instructions")}
    assert any(
        line.startswith("concepts: starts again because random_seed changed from 0 to 1; its earlier rows move to")
        for line in told.lines
    )
    assert (tmp_path / "run" / "superseded" / "concepts-1").is_dir()


async def test_a_setting_that_matters_to_one_stage_leaves_the_earlier_ones(tmp_path: Path) -> None:
    """Another temperature for responses samples new responses and no new instruction."""
    sources = write_sources(tmp_path / "source", 5)
    await run_recipe(small_recipe(sources), tmp_path / "run", model=scripted_model())
    instructions = rows_of(tmp_path / "run", "instructions")
    told = Told()
    recipe = small_recipe(sources, "responses.temperature=0.9")
    before = everything(tmp_path / "run")
    with pytest.raises(RunFolderError) as error:
        await run_recipe(recipe, tmp_path / "run", model=scripted_model())
    for said in (r"rows of responses (responses.temperature changed from 0.7 to 0.9)", "--yes", "another --out"):
        assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "superseded").exists()
    assert everything(tmp_path / "run") == before
    await run_recipe(recipe, tmp_path / "run", progress=told, model=scripted_model(), replace_finished=True)
    assert rows_of(tmp_path / "run", "instructions") == instructions
    changed = [line for line in told.lines if "starts again" in line]
    assert changed == [
        "responses: starts again because responses.temperature changed from 0.7 to 0.9; its earlier rows move to "
        "superseded/responses-1"
    ]


async def test_superseded_rows_come_back_with_their_settings(tmp_path: Path) -> None:
    """There and back without a request: rows of the stage itself and of the stages after it, wherever they lie."""
    sources = write_sources(tmp_path / "source", 6)
    run = tmp_path / "run"
    first, second = small_recipe(sources), small_recipe(sources, "concepts.temperature=0.1", "responses.samples=2")
    await run_recipe(first, run, model=scripted_model())
    before = everything(run)
    await run_recipe(second, run, model=scripted_model(), replace_finished=True)
    other = everything(run)
    for recipe, rows in ((first, before), (second, other), (first, before)):
        told, model = Told(), scripted_model(fail_after=0)
        planned = [one.sentence for one in await plan_recipe(recipe, run, model=model)]
        await run_recipe(recipe, run, model=model, progress=told, replace_finished=True)
        assert model.calls == 0
        assert everything(run) == rows
        assert any(line.startswith("concepts: starts again") and "come back" in line for line in planned)
        assert set(planned) - set(told.lines) == set()
    third = small_recipe(sources, "concepts.temperature=0.2")
    model = scripted_model()
    await run_recipe(third, run, model=model, replace_finished=True)
    assert model.calls > 0


async def test_a_free_setting_keeps_all_work(tmp_path: Path) -> None:
    """More workers, another flush: no stage restarts."""
    sources = write_sources(tmp_path / "source", 4)
    await run_recipe(small_recipe(sources), tmp_path / "run", model=scripted_model())
    dead = scripted_model(fail_after=0)
    await run_recipe(small_recipe(sources, "execution.workers=1"), tmp_path / "run", model=dead)
    assert dead.calls == 0


async def test_a_server_that_dies_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    """The error is the model's own; the resumed run ends with the rows of an uninterrupted one."""
    recipe = small_recipe(write_sources(tmp_path / "source", 8))
    await run_recipe(recipe, tmp_path / "whole", model=scripted_model())
    with pytest.raises(ModelError, match="as told"):
        await run_recipe(recipe, tmp_path / "broken", model=scripted_model(fail_after=25, concurrency=3))
    assert books(tmp_path / "broken")["concepts"][1] == 8
    await run_recipe(recipe, tmp_path / "broken", model=scripted_model())
    assert everything(tmp_path / "broken") == everything(tmp_path / "whole")


async def test_another_model_in_the_same_place_is_noticed(tmp_path: Path) -> None:
    """Weights that changed under the same name are refused, not mixed with the earlier rows."""
    recipe = small_recipe(write_sources(tmp_path / "source", 3))
    await run_recipe(recipe, tmp_path / "run", until="concepts", model=scripted_model())
    with pytest.raises(ModelError, match="was begun with scripted at 1: give another --out"):
        await run_recipe(recipe, tmp_path / "run", model=scripted_model(revision="2"))


async def test_all_samples_are_drawn_when_the_recipe_says_so(tmp_path: Path) -> None:
    """`stop_after_passes = 0` is the paper's behaviour; 1 stops at the first verified answer, the same one."""
    sources = write_sources(tmp_path / "source", 8)
    await run_recipe(small_recipe(sources, "responses.stop_after_passes=0"), tmp_path / "all", model=scripted_model())
    await run_recipe(small_recipe(sources), tmp_path / "first", model=scripted_model())
    drawn = rows_of(tmp_path / "all", "responses") + rows_of(tmp_path / "all", "responses", "dropped")
    assert len(drawn) == 8 * 4
    texts = {(row["instruction"], row["response"]) for row in rows_of(tmp_path / "all", "responses")}
    first = {(row["instruction"], row["response"]) for row in rows_of(tmp_path / "first", "responses")}
    assert first <= texts
    assert books(tmp_path / "all")["selection"][2].get("one_per_instruction", 0) > 0
    rates = {row["pass_rate"] for row in pq.read_table(tmp_path / "all" / "dataset" / "data").to_pylist()}
    assert all(rate * 4 == int(rate * 4) for rate in rates)


async def test_without_concepts_instructions_come_from_the_seed(tmp_path: Path) -> None:
    """The paper's ablation: the prompt shows the snippet, and rows have no concepts."""
    prompts: list[str] = []

    def watch(prompt: str, sampling: Any, seed: int) -> str:
        prompts.append(prompt)
        return answer(prompt, sampling, seed)

    recipe = small_recipe(write_sources(tmp_path / "source", 3), without=["concepts"])
    await run_recipe(recipe, tmp_path / "run", until="instructions", model=ScriptedModel(watch))
    assert len(prompts) == 3
    assert all("<snippet>" in prompt and "<properties>" not in prompt for prompt in prompts)
    assert all(row["concepts"] == [] for row in rows_of(tmp_path / "run", "instructions"))


async def test_the_judge_drops_seeds_the_model_says_no_to(tmp_path: Path) -> None:
    """Yes stays, no goes; the judge is asked greedily."""
    recipe = small_recipe(write_sources(tmp_path / "source", 20), added=["judge"])
    await run_recipe(recipe, tmp_path / "run", until="judge", model=scripted_model())
    entered, kept, dropped = books(tmp_path / "run")["judge"]
    assert entered == 20
    assert dropped == {"judged_no": 20 - kept}
    assert 0 < kept < 20


async def test_a_limit_draws_the_same_seeds_and_more(tmp_path: Path) -> None:
    """`seeds.limit` is a uniform draw by id: five of ten are among seven of ten."""
    sources = write_sources(tmp_path / "source", 10)
    chosen = {}
    for limit in (5, 7):
        recipe = small_recipe(sources, f"seeds.limit={limit}")
        await run_recipe(recipe, tmp_path / "run", until="near_dedup", model=scripted_model())
        chosen[limit] = {row["seed_id"] for row in rows_of(tmp_path / "run", "near_dedup")}
    assert len(chosen[5]) == 5
    assert chosen[5] < chosen[7]


async def test_truncated_and_unreadable_completions_are_drops_with_their_text(tmp_path: Path) -> None:
    """A drop keeps the completion with the reason."""

    def cut(prompt: str, sampling: Any, seed: int) -> str:
        return (
            " ".join(f"word{n * 7919 % 9973}" for n in range(2000))
            if prompt.endswith("<instruction>\n")
            else answer(prompt, sampling, seed)
        )

    recipe = small_recipe(write_sources(tmp_path / "source", 3))
    with pytest.raises(EmptyDataset):
        await run_recipe(recipe, tmp_path / "run", model=ScriptedModel(cut))
    assert books(tmp_path / "run")["instructions"] == (3, 0, {"truncated": 3})
    drop = rows_of(tmp_path / "run", "instructions", "dropped")[0]
    assert drop["detail"].startswith("word0 word7919")
    assert drop["seed"]
    assert pq.read_table(tmp_path / "run" / "dataset" / "data").num_rows == 0


async def test_a_wrong_stage_or_source_is_refused_before_any_work(tmp_path: Path) -> None:
    """One line, with what was probably meant; an empty folder has no Python files."""
    recipe = small_recipe(write_sources(tmp_path / "source", 1))
    with pytest.raises(RecipeError, match='did you mean "selection"'):
        await run_recipe(recipe, tmp_path / "run", until="selections", model=scripted_model())
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        await run_recipe(small_recipe(tmp_path / "empty"), tmp_path / "run", model=scripted_model())


async def test_killed_again_and_again_a_run_ends_with_the_same_rows(tmp_path: Path) -> None:
    """kill -9 at random moments, resumed each time: exactly the rows of an uninterrupted run (more: bench/kills.py)."""
    sources = write_sources(tmp_path / "source", 16)
    await run_recipe(small_recipe(sources), tmp_path / "whole", model=scripted_model())
    rng = random.Random(4)
    command = [sys.executable, "-c", KILLED, str(sources), str(tmp_path / "killed")]
    for _ in range(4):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")


async def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    """SIGINT ends the process with KeyboardInterrupt and finished rows on disk; the run can be resumed."""
    sources = write_sources(tmp_path / "source", 16)
    command = [sys.executable, "-c", KILLED.replace("0.01", "0.2"), str(sources), str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run" / "instructions").glob("kept-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    await run_recipe(small_recipe(sources), tmp_path / "run", model=scripted_model())
    await run_recipe(small_recipe(sources), tmp_path / "whole", model=scripted_model())
    assert everything(tmp_path / "run") == everything(tmp_path / "whole")


async def test_answers_that_begin_with_an_empty_line_are_read(tmp_path: Path) -> None:
    """Some servers write one first: every stage gives the rows of answers without it."""

    def late(prompt: str, sampling: Any, seed: int) -> str:
        return "\n \n" + answer(prompt, sampling, seed)

    recipe = small_recipe(write_sources(tmp_path / "source", 10), added=["judge"])
    await run_recipe(recipe, tmp_path / "plain", model=scripted_model())
    await run_recipe(recipe, tmp_path / "late", model=ScriptedModel(late))
    assert books(tmp_path / "late") == books(tmp_path / "plain")


class Failing(ScriptedModel):
    """Fails every fourth request, as a server does that answers others."""

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        if seed % 4 == 0:
            raise RequestFailed("it refuses the request (400): bad token", "model_refused")
        return await super().complete(prompt, sampling, seed=seed)


async def test_failed_requests_are_drops_with_the_servers_words(tmp_path: Path) -> None:
    """In every stage that asks the model; a response that failed is no reason to give up the others."""
    recipe = small_recipe(write_sources(tmp_path / "source", 40), added=["judge"])
    await run_recipe(recipe, tmp_path / "run", model=Failing(answer))
    for stage in ("judge", "concepts", "instructions", "responses"):
        _, kept, dropped = books(tmp_path / "run")[stage]
        assert dropped["model_refused"] > 0, stage
        assert kept > 0, stage
        refused = [row for row in rows_of(tmp_path / "run", stage, "dropped") if row["reason"] == "model_refused"]
        assert {row["detail"] for row in refused} == {"it refuses the request (400): bad token"}


async def test_a_data_set_that_is_empty_for_long_prompts_says_what_to_do(tmp_path: Path) -> None:
    """The context of a model may be known only from its refusals."""

    def refuse(prompt: str, sampling: Sampling, seed: int) -> str:
        raise PromptTooLong("the prompt has 9 tokens, the model's context 5")

    recipe = small_recipe(write_sources(tmp_path / "source", 2))
    with pytest.raises(EmptyDataset, match=r'prompt_too_long 2\); .* use few_shot\.file = "tiny", fewer worked'):
        await run_recipe(recipe, tmp_path / "run", model=ScriptedModel(refuse))


async def test_an_empty_data_set_is_an_error_that_says_why(tmp_path: Path) -> None:
    """The stage that dropped everything, its reasons, the command that shows them; the card claims nothing."""
    recipe = small_recipe(write_sources(tmp_path / "source", 4))
    model = ScriptedModel(lambda prompt, sampling, seed: "I do not know.\n" if "<tests>" in prompt else "a, b\n")
    with pytest.raises(
        EmptyDataset, match=r"the stage responses kept none of 4 instructions \(unparsed 16\)"
    ) as caught:
        await run_recipe(recipe, tmp_path / "run", model=model)
    assert f"selfcodealign show {tmp_path / 'run'}" in str(caught.value)
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "0 instruction–response pairs" in card
    for claim in ("passed", "were removed", "Every"):
        assert claim not in claims_of(tmp_path / "run")


async def test_waves_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with room is asked for further answers before verdicts are in; rows are those of one at a time, and what
    was drawn for nothing is counted."""
    judge_by_text(monkeypatch)
    sources = write_sources(tmp_path / "source", 12)
    recipe = small_recipe(sources, "responses.samples=8", "responses.stop_after_passes=2")
    for name, concurrency in (("one", 1), ("many", 64)):
        await run_recipe(recipe, tmp_path / name, until="responses", model=scripted_model(concurrency=concurrency))
    for kind in ("kept", "dropped"):
        one, many = (
            sorted(row["response_id"] for row in rows_of(tmp_path / name, "responses", kind))
            for name in ("one", "many")
        )
        assert one == many
    counted = json.loads((tmp_path / "many" / "run.json").read_text())["counted"]["responses"]
    assert counted["samples drawn and not needed"] > 0
