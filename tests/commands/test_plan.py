"""The command `plan`, and the option --budget of `run`: what a pilot tells, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import call
from tests.support.faulty_server import FaultyServer, Handler
from tests.support.journey import answer, write_sources
from tests.support.runs import rows_of


def speak(handler: Handler, body: dict[str, object]) -> None:
    """Answer like the scripted model; half of the prompt came from the cache."""
    text = answer(str(body["prompt"]), None, int(str(body["seed"])))  # type: ignore[arg-type]
    tokens = len(str(body["prompt"])) // 3
    usage = {"prompt_tokens": tokens, "completion_tokens": len(text) // 3}
    usage["prompt_tokens_details"] = {"cached_tokens": tokens // 2}  # type: ignore[assignment]
    stops = [place for stop in body["stop"] if (place := text.find(stop)) >= 0]  # type: ignore[attr-defined]
    cut = text[: min(stops, default=len(text))]
    handler.send_json({"choices": [{"text": cut, "finish_reason": "stop"}], "usage": usage})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory):
    """A recipe of thirty seeds whose model is a server."""
    folder = tmp_path_factory.mktemp("plan")
    write_sources(folder / "source", 30)
    with FaultyServer(always=speak) as server:
        path = folder / "small.toml"
        path.write_text(
            'journey = ["seeds", "near_dedup", "concepts", "instructions", "responses", "selection", "dataset"]\n'
            f'model = {{ name = "demo", urls = ["{server.url}"] }}\n'
            f'seeds = {{ sources = ["{folder / "source"}"], licence = "MIT" }}\n'
            'few_shot = { file = "tiny" }\nconcepts = { examples = 1 }\ninstructions = { examples = 1 }\n'
            "responses = { samples = 4 }\nnear_dedup = { jaccard = 1.0 }\n"
            "selection = { near_dedup = [] }\nexecution = { workers = 2, warm = [], mutation_testing = false }\n"
            "decontamination = { benchmarks = [] }\n"
        )
        yield path


def test_a_pilot_tells_what_the_whole_run_comes_to(recipe: Path, tmp_path: Path) -> None:
    """The pilot is a run that is kept; the figures of a larger one have intervals around them."""
    words = ("plan", str(recipe), "--pilot", "8", "-o", str(tmp_path / "pilot"), "--json", "-q")
    done = call(*words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(rows_of(tmp_path / "pilot", "near_dedup")) == 8
    assert told == json.loads(call(*words).stdout)
    table = call(*words[:-2]).stdout
    assert "examples" in table
    assert "tokens" in table


def test_the_same_pilot_tells_of_many_nodes(recipe: Path, tmp_path: Path) -> None:
    """The planned run and the published one, as JSON and as a table; an earlier pilot's folder lacks the seconds."""
    pilot = tmp_path / "pilot"
    words = ("plan", str(recipe), "--pilot", "8", "-o", str(pilot), "-q", "--nodes", "4", "--cores", "8")
    done = call(*words, "--server-tokens", "1000", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["capacity"]
    assert told["worked_out_not_measured"] is True
    assert list(told["sizes"]) == ["planned", "published", "published x10", "published x1000"]
    assert told["sizes"]["planned"]["functions"] == len(rows_of(pilot, "seeds"))
    assert told["sizes"]["published"]["answers"] == 2_400_000
    stages = [name for part in told["sizes"]["planned"]["parts"] for name in part["stages"]]
    assert stages == ["seeds", "near_dedup", "concepts", "instructions", "responses", "selection"]
    assert "not measured" in call(*words).stdout
    facts = json.loads((pilot / "run.json").read_text())
    del facts["worked"]
    (pilot / "run.json").write_text(json.dumps(facts))
    older = call(*words)
    assert older.returncode == 2
    assert "name another --out" in " ".join(older.stderr.split())
    assert "Traceback" not in older.stderr


@pytest.mark.parametrize(("words", "said"), [(("--nodes", "0"), "--nodes"), (("--cores", "4"), "give --nodes")])
def test_wrong_machines_are_told_before_the_pilot(
    recipe: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """No nodes at all, and cores without nodes."""
    done = call("plan", str(recipe), "-o", str(tmp_path / "pilot"), *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pilot").exists()


def test_a_run_stops_at_its_budget_and_a_larger_one_goes_on(recipe: Path, tmp_path: Path) -> None:
    """The data set is made of what there is; without a budget the rest follows."""
    run = ("run", str(recipe), "-o", str(tmp_path / "run"), "-q")
    first = call(*run, "--budget", "tokens=12k")
    assert first.returncode == 0, first.stderr
    asked = json.loads((tmp_path / "run" / "run.json").read_text())["asked"]
    assert sum(one["prompt_tokens"] + one["completion_tokens"] for one in asked.values()) <= 14_000
    assert 0 < len(rows_of(tmp_path / "run", "selection")) < 30
    whole = call(*run)
    assert whole.returncode == 0, whole.stderr
    assert len(rows_of(tmp_path / "run", "concepts")) == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "token=5"), 'did you mean "tokens"'),
        (("--budget", "tokens=many"), "give a number"),
        (("--budget", "tokens=0"), "above 0"),
        (("--budget", "money=5"), "prices.prompt_tokens"),
        (("--budget", "examples=5", "--until", "instructions"), "responses"),
    ],
)
def test_a_wrong_budget_is_told_in_one_line(recipe: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Before any work, with what to write instead."""
    done = call("run", str(recipe), "-o", str(tmp_path / "run"), *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
