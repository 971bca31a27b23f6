"""Secrets that a person puts into settings reach no file, no log and no error; a real server answers or refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import UserError
from selfcodealign.models import Sampling
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe, recipe_toml
from tests.support.command_line import call
from tests.support.faulty_server import FaultyServer, Handler, refuse
from tests.support.journey import answer, scripted_model, small_recipe, write_sources
from tests.support.told import Told

SECRETS = ("hush-password", "hush-query", "hush-key", "hush-argument", "hush-user")
ADDRESS = "http://hush-user:hush-password@127.0.0.1:9/x?key=hush-query"


def answer_all(handler: Handler, body: dict[str, Any]) -> None:
    """Continue any prompt of the pipeline."""
    text = answer(body["prompt"], Sampling(), body["seed"])
    for stop in body.get("stop", ()):
        text = text.partition(stop)[0]
    handler.send_json({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})


def planted(server: FaultyServer) -> str:
    return server.url.replace("//", "//hush-user:hush-password@") + "?key=hush-query"


def find_secrets(*texts: str | Path) -> list[str]:
    """The places with a secret, among texts and all files below folders."""
    found = []
    for one in texts:
        files = [path for path in one.rglob("*") if path.is_file()] if isinstance(one, Path) else [one]
        for file in files:
            data = file.read_bytes() if isinstance(file, Path) else file.encode()
            found += [f"{secret} in {str(file)[:300]}" for secret in SECRETS if secret.encode() in data]
    return found


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A recipe for two functions, whose settings that this run does not use hold addresses."""
    unused = [
        f'model.serve_args=["--api-key", "hush-argument", "--token=hush-argument", "{ADDRESS}"]',
        f'selection.unfinished_words=["{ADDRESS}"]',
        f'train.model="{ADDRESS}"',
        f'train.attention="{ADDRESS}"',
        f'evaluate.few_shot="{ADDRESS}"',
        f'evaluate.benchmarks=["{ADDRESS}"]',
        f'evaluate.problems={{"humaneval" = "{ADDRESS}"}}',
        f'seeds.split="{ADDRESS}"',
        f'model.device="{ADDRESS}"',
    ]
    recipe = small_recipe(write_sources(tmp_path / "source", 2), *unused, "model.name=demo", "responses.samples=2")
    path = tmp_path / "mine.toml"
    import tomli_w

    path.write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)))
    return path


def test_a_run_leaves_no_secret_and_resumes_when_it_is_given_again(recipe_file: Path, tmp_path: Path) -> None:
    """The whole run folder, stdout and stderr; the card does not even name the server's host."""
    run = tmp_path / "run"
    env = {"OPENAI_API_KEY": "hush-key"}
    with FaultyServer(always=answer_all) as server:
        urls = f'model.urls=["{planted(server)}"]'
        done = call("run", str(recipe_file), "--out", str(run), "--set", urls, "--until", "instructions", env=env)
        assert done.returncode == 0, done.stderr
        assert server.headers[0]["Authorization"].startswith(("Basic", "Bearer"))
        resumed = call("run", "--out", str(run), env=env)
        assert resumed.returncode == 2
        for said in (
            "model.urls holds",
            "***@127.0.0.1",
            "give the whole address again",
            "selection.unfinished_words is incomplete",
        ):
            assert said in resumed.stderr
        given = ["model.serve_args=[]", "selection.unfinished_words=[]"]
        given += [f'seeds.split="{ADDRESS}"', 'model.device="auto"', urls]
        words = [word for setting in given for word in ("--set", setting)]
        done = call("run", "--out", str(run), *words, env=env)
        assert done.returncode == 0, done.stderr
        planned = call("run", str(recipe_file), "--out", str(run), "--set", urls, "--dry-run", env=env)
    assert find_secrets(run, done.stdout, done.stderr, resumed.stdout, resumed.stderr, *texts(planned)) == []
    for file in (run / "dataset").rglob("*"):
        assert not file.is_file() or server.url[7:-3].encode() not in file.read_bytes()
    command = shlex.join([json.loads((run / "run.json").read_text())["command"]])
    assert "***" in command


def texts(done: Any) -> list[str]:
    return [done.stdout, done.stderr]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_refuses_does_not_show_the_secret(recipe_file: Path, tmp_path: Path, status: int) -> None:
    """Also when its error repeats the key, the password or the query."""
    run = tmp_path / "run"
    echo = "wrong key hush-key, not hush-query, of hush-user with hush-password"
    with FaultyServer(always=refuse(status, echo)) as server:
        words = ["--set", f'model.urls=["{planted(server)}"]', "--set", "model.retry_seconds=0.1"]
        done = call("run", str(recipe_file), "--out", str(run), *words, env={"OPENAI_API_KEY": "hush-key"})
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert find_secrets(run, done.stdout, done.stderr) == []


@pytest.mark.parametrize(
    "words",
    [
        ("run", "quickstart", ADDRESS),
        ("run", "quickstart", ADDRESS.replace(":", "", 1)),
        (ADDRESS,),
    ],
)
def test_a_stray_argument_does_not_show_its_secret(words: tuple[str, ...], tmp_path: Path) -> None:
    """The error of a command line that is wrong."""
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "127.0.0.1:9/x" in done.stderr
    assert find_secrets(done.stdout, done.stderr) == []


@pytest.mark.parametrize(
    "setting",
    [
        f'seeds.sources=["{ADDRESS}"]',
        f'seeds.sources=["git:{ADDRESS}"]',
        f'seeds.sources=["package:{ADDRESS}"]',
        f'few_shot.file="{ADDRESS}"',
        f'decontamination.benchmarks=["{ADDRESS}"]',
        f'journey=["{ADDRESS}"]',
        f'journey=["seeds", "{ADDRESS}.py:X"]',
        f'model.urls="{ADDRESS}"',
        'model.urls="hush-user:hush-password@127.0.0.1:9"',
        f'model.urls=["{ADDRESS}"]',
        f'model.urls=["{ADDRESS.replace(":", "", 1)}"]',
        'model.urls=["https://host/hush-user:hush-password@127.0.0.1/v1"]',
        'model.urls=["hush-user:hush-password@127.0.0.1:x"]',
        "model.api_key_env=hush-key",
        f'model.{ADDRESS}="x"',
        f'execution.sandbox="{ADDRESS}"',
        f'evaluate.base_modes=["{ADDRESS}"]',
    ],
)
async def test_a_refused_setting_does_not_show_its_secret(setting: str, tmp_path: Path) -> None:
    """Whatever the error says of a setting."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(recipe_toml(small_recipe(write_sources(tmp_path / "source", 1))))
    model = None if "model.urls" in setting else scripted_model()
    for work in (plan_recipe, run_recipe):
        with pytest.raises(UserError) as error:
            await work(load_recipe(recipe, ["model.name=demo", setting]), tmp_path / "run", model=model)
        assert find_secrets(str(error.value)) == []
    assert not (tmp_path / "run").exists()


async def test_secrets_of_a_stage_of_ones_own_decide_nothing(tmp_path: Path) -> None:
    """A password that changed keeps the rows; the address itself decides."""
    sources = write_sources(tmp_path / "source", 2)
    run = tmp_path / "run"
    for password, host, again in (("hush-password", "a", False), ("hush-query", "a", False), ("x", "b", True)):
        words = f'selection.unfinished_words=["http://me:{password}@{host}/"]'
        told = Told()
        await run_recipe(small_recipe(sources, words), run, model=scripted_model(), progress=told)
        assert any("starts again" in line for line in told.lines) == again
        assert find_secrets(run, *told.lines) == []
