"""Each shipped recipe on a machine that has nothing it needs: refused before work, with the fix."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import UserError
from selfcodealign.models.local import LocalModel
from selfcodealign.pipeline import plan_recipe, run_recipe
from selfcodealign.recipe import load_recipe, shipped_recipes
from selfcodealign.sandbox.on_demand import OnDemandSandbox

STACK = 'cannot open data set "bigcode/the-stack-dedup": '
STARCODER = 'cannot open data set "bigcode/starcoderdata": '
TEACHER = 'models.teacher.api = "chat" is for servers: set models.teacher.urls or models.teacher.serve'
PROBLEMS = ("--set evaluate.problems.humaneval+=FILE", "--set evaluate.problems.mbpp+=FILE", "--without evaluate")
NO_CHECKOUT = ". is not a git checkout: name one"
LONG = (
    "prompts with the worked examples of python are longer than the context of embedded (512 tokens): use few_shot.file"
)


def hub(name: str) -> str:
    return f'"{name}" is no folder here and the hub cannot be reached; give a folder, or connect'


QWEN = hub("Qwen/CodeQwen1.5-7B")
STARCODER_15B, STARCODER_BASE = hub("bigcode/starcoder2-15b"), hub("bigcode/starcoderbase")

#: What each recipe lacks on a bare machine, in the words that name the fix. An empty tuple: it needs nothing.
NEEDS: dict[str, tuple[str, ...]] = {
    "commit-edits": (NO_CHECKOUT, LONG),
    "distill": (STACK, QWEN, TEACHER, *PROBLEMS),
    "distill-verified": (STACK, QWEN, TEACHER, *PROBLEMS),
    "ds2": (STACK, STARCODER_15B, *PROBLEMS),
    "evol-instruct": (STACK, STARCODER_BASE, TEACHER, *PROBLEMS),
    "evol-instruct-verified": (STACK, STARCODER_BASE, TEACHER, *PROBLEMS),
    "magpie": ("prequery needs a tuned model, and embedded has no chat template: set model.name to one", LONG),
    "octopack": (NO_CHECKOUT, hub("bigcode/starcoder")),
    "oss-instruct": (STARCODER, hub("codellama/CodeLlama-7b-Python-hf"), TEACHER, *PROBLEMS),
    "oss-instruct-verified": (STARCODER, STARCODER_15B, *PROBLEMS),
    "paper": (STACK, STARCODER_15B, *PROBLEMS),
    "quickstart": (),
    "random-snippets": (STACK, QWEN, *PROBLEMS),
    "s2i": (STACK, QWEN, *PROBLEMS),
    "seeds": (),
    "self-distill-unverified": (STACK, QWEN, *PROBLEMS),
    "self-instruct": (QWEN, *PROBLEMS),
    "semcoder": (hub("deepseek-ai/deepseek-coder-6.7b-base"),),
    "starcoder2-instruct": (STACK, STARCODER_15B, *PROBLEMS),
    "verify-foreign": ("imported.sources names no data set: give --source FILE",),
}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in: no net, no cache, no model that may be asked, no program that may run."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun")

    def no_net(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in ("huggingface_hub", "datasets"):
        pytest.importorskip(module)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "getaddrinfo", no_net)
    monkeypatch.setattr(LocalModel, "complete", refuse)
    monkeypatch.setattr(OnDemandSandbox, "run", refuse)
    return home


def test_every_recipe_is_here() -> None:
    """A new recipe says what it needs."""
    assert sorted(NEEDS) == sorted(shipped_recipes())


@pytest.mark.parametrize("name", [name for name, needs in NEEDS.items() if needs])
def test_a_recipe_is_refused_before_work_with_the_fixes(name: str, bare: Path) -> None:
    """A dry run and a run say the same: all that is missing, a line each, and no file is written."""
    said = []
    for work in (plan_recipe, run_recipe):
        with pytest.raises(UserError) as caught:
            asyncio.run(work(load_recipe(name), "run"))
        said.append(str(caught.value))
    assert said[0] == said[1]
    for need in NEEDS[name]:
        assert need in said[0]
    lines = said[0].splitlines()
    if len(lines) > 1:
        assert lines[0] == f"{len(lines) - 1} things to fix before this can run:"
        assert all(line.startswith("  - ") for line in lines[1:])
    assert list(bare.iterdir()) == []


@pytest.mark.parametrize("name", [name for name, needs in NEEDS.items() if not needs])
def test_a_recipe_that_needs_nothing_passes(name: str, bare: Path) -> None:
    """Its stages begin, and planning writes nothing."""
    decisions = asyncio.run(plan_recipe(load_recipe(name), "run"))
    assert {decision.action for decision in decisions} == {"begin"}
    assert list(bare.iterdir()) == []
