"""Every command of README and docs/ runs as printed, or is read closely where it cannot run here.

`STAND_INS` says what takes the place of what a test machine does not have, `SMALLER` what is added to a command so that
it does little, `ONLY_READ` which commands are not run, and why. An entry that no command needs fails.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from selfcodealign import Sampling
from selfcodealign.benchmarks import MODES
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.cli import COMMANDS, app, main
from selfcodealign.dataset.export import find_format
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.pipeline import CATALOGUE
from selfcodealign.recipe import default_recipe, load_recipe
from selfcodealign.stages.journey import edit_journey
from selfcodealign.training_settings import METHODS
from tests.support.benchmark_rows import arithmetic_row, write_lines
from tests.support.documentation import PAGES, TYPED, Typed, blocks
from tests.support.faulty_server import FaultyServer, Handler
from tests.support.journey import answer, write_sources
from tests.support.places import ROOT
from tests.support.runs import rows_of
from tests.support.tiny_model import make_model

BASE = "checkpoints/base"
#: What pages name → what the clean folder has in its place. {url} is the server of the fixture, {row} an id of its run.
STAND_INS = {
    r"http://(gpu1|gpu2|localhost):8000|https://host(?=/v1)": "{url}",  # answers like a model that can write
    # Two layers of random weights.
    r"Qwen/Qwen2.5-Coder-7B|bigcode/starcoder2-3b|org/base-7b|\bsmollm2\b|\bNAME\b": BASE,
    r"/home/me/project|\bstdlib\b": "project",  # six functions
    r"package:(requests|rich)": "package:tomli_w",  # a small package that is installed
    r"runs/other": "talk.jsonl",
    r"models/weaker": "embedded",
    r"data/(first\.jsonl)": "first.jsonl",
    r"data/chat\.jsonl@5000": "chat.jsonl@1",
    r"\bRUN\b|runs/quickstart": "runs/mine",  # the run of README's recipe
    r"\b3f9a\b": "{row}",
}
ONE_STEP = ["--set", "max_steps=1", "--set", "batch=2", "--set", "max_tokens=256"]
ONE_PROBLEM = ["--problems", "humaneval=HumanEvalPlus.jsonl.gz", "--max-tokens", "32"]
PROBLEMS = '{ humaneval = "HumanEvalPlus.jsonl.gz", mbpp = "mbpp.jsonl" }'
HERE = ["--set", f"evaluate.problems={PROBLEMS}"]
LOCAL = ["-m", BASE, "--source", "project"]
BARE = ["--set", f"model.name={BASE}", "--set", 'seeds.sources=["project"]']  # for commands without these options
#: Pattern → what is added to commands that match, the first that does: little data, few steps, no download.
SMALLER = {
    r"run paper .*--url .*--until dataset": ["--limit", "3", "--set", "responses.samples=4"],
    r"run paper .*(--url|model\.urls)": ["--source", "project", "--limit", "2", "--until", "concepts"],
    r"run paper --source git:": ["-m", BASE, "--dry-run", *HERE],  # keeps its sources
    r"run paper --dry-run": [*LOCAL, *HERE],
    r"run paper .*--without evaluate": ["--dry-run", *LOCAL],
    r"run paper": ["--dry-run", *LOCAL, *HERE],
    r"plan quickstart": ["--pilot", "10"],
    r"ablate paper": ["--dry-run", *BARE, *HERE],
    r"ablate quickstart": ["--dry-run"],
    r"push (?!.*--dry-run)": ["--dry-run"],  # tests/publishing pushes, to a server of its own
    r"run quickstart -m models/weaker": ["--source", "project", "--limit", "2"],
    r"rounds quickstart": [
        *("--rounds", "1", "--least-rows", "1", "--set", "train.max_steps=1", "--set", "evaluate.limit=1"),
        *("--set", "seeds.limit=4", "--set", "responses.samples=4"),
    ],
    r"run quickstart --set model\.name=": ["--source", "project", "--limit", "2", "--until", "concepts"],
    r"evaluate .*tiny-eval": ["--limit", "1", "--max-tokens", "16"],
    r"evaluate .*--samples": [],
    r"evaluate .*-b mbpp": [*ONE_PROBLEM, "--problems", "mbpp=mbpp.jsonl"],
    r"evaluate ": ONE_PROBLEM,
    r"train .*(embedded|lora|smollm2|first|mix=)": [
        "--set",
        "max_steps=1",
        "--set",
        "batch=2",
        "--set",
        "max_tokens=256",
    ],
}
#: Pattern → why commands that match are not run. They are still parsed, with all their settings, names and files.
ONLY_READ = {
    r"make (quickstart|setup|test)|python3 -m venv|^source |pip (install|wheel)": "installs packages, for minutes",
    r"pre-commit install": "changes the repository's hooks",
    r"pytest ": "the tests themselves",
    r"--serve vllm|serve=vllm|^vllm serve": "needs vLLM, and mostly a GPU",
    r"parallel=fsdp2": "needs GPUs",
    r"--method (dpo|grpo)|--with dpo": "tests/training and tests/stages train so",
    r"python -m tiny\.": "trains or measures the embedded model, for minutes",
    r"serve-sandbox": "serves until it is stopped",
    r"selfcodealign view": "serves until it is stopped; tests/explorer asks it",
    r"--shard |^export |examples/slurm": "needs several machines; tests/commands/test_slurm.py runs shards",
    r"--engine ray": "needs a cluster; tests/engine/test_ray.py makes one",
    r"python bench/": "measures, for minutes",
    r"doctor --verdicts(?! --export)": "tests/judging runs the suite; the example judge exits with 1, as it must",
    r"matrix (paper|quickstart)": "needs several models; tests/experiments runs one",
    r"-b bigcodebench": "needs an environment with BigCodeBench's libraries",
}


def reason_to_read(command: Typed) -> str | None:
    if command.page.startswith("docs/comparisons/"):
        return "needs servers, data sets or repositories; tests/comparisons runs its recipe"
    return next((why for pattern, why in ONLY_READ.items() if re.search(pattern, command.text)), None)


RUN = [one for one in TYPED if not one.mentioned and reason_to_read(one) is None]
READ = [one for one in TYPED if one.mentioned or reason_to_read(one)]


@dataclass
class Place:
    """A clean folder with what the pages take for granted, and the run that README's recipe made in it."""

    folder: Path
    url: str
    row: str = ""
    page: str = ""

    def turn_to(self, page: str) -> None:
        """Commands of one page follow one another; each page begins with no earlier work but runs/mine."""
        if page != self.page:
            for name in ("runs/quickstart", "runs/paper", "scores", "models", "data"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
        self.page = page

    def put(self, text: str) -> str:
        for pattern, stand_in in STAND_INS.items():
            text = re.sub(pattern, lambda found, to=stand_in: to.format(url=self.url, row=self.row), text)
        return text

    def call(self, words: list[str]) -> str:
        """Run a command, in this process where it is ours. Returns what it prints; fails unless it exits with 0."""
        out = io.StringIO()
        if Path(words[0]).name != "selfcodealign":
            words = [sys.executable, *words[1:]] if words[0].startswith("python") else words
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        before = sys.argv
        sys.argv = words
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as end:
                main()
        finally:
            sys.argv = before
        assert end.value.code == 0, f"{words}\n{out.getvalue()}"
        return out.getvalue()


def _speak(handler: Handler, body: dict[str, Any]) -> None:
    """Continue a prompt of the pipeline; answer a benchmark's with code that is wrong."""
    try:
        text = answer(body["prompt"], Sampling(), body.get("seed", 0))
    except IndexError:
        text = "    return None\n"
    stops = [text.find(stop) for stop in body.get("stop") or [] if stop in text]
    choice = {"index": 0, "text": text[: min(stops, default=len(text))], "finish_reason": "stop"}
    handler.send_json({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


def _furnish(folder: Path) -> None:
    """What a person has before the first command: a checkout, a package's code, a model, files that pages name."""
    make_model(folder / BASE, window=16384)
    make_model(folder / "checkpoints" / "my-model", window=4096)
    write_sources(folder / "project", 6)
    for where in (folder, folder / "project"):
        shutil.copy(ROOT / "LICENSE", where)
        for words in (
            ["init", "-q"],
            ["add", "LICENSE", "*.py"],
            ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], cwd=where, check=True)
    shutil.make_archive(str(folder / "tools-1.5"), "gztar", folder / "project", ".")
    code = [{"text": path.read_text()} for path in sorted((folder / "project").glob("*.py"))]
    with gzip.open(folder / "code.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in code)
    problem = arithmetic_row(0, "add")
    with gzip.open(folder / "HumanEvalPlus.jsonl.gz", "wt") as file:
        file.write(json.dumps(problem) + "\n")
    write_lines(folder / "mbpp.jsonl", [problem | {"task_id": "Mbpp/1", "assertion": "assert add(3, 2) == 5"}])
    verdict = {"response": "```python\ndef add(a, b):\n    return a + b\n```", "tests": "assert add(1, 2) == 3"}
    write_lines(folder / "rows.jsonl", [verdict])
    for name in ("first", "chat", "talk"):
        told = [{"instruction": f"Name the {name} tree of {number}.", "response": "alder"} for number in range(3)]
        write_lines(folder / f"{name}.jsonl", told)
    write_lines(folder / "solutions.jsonl", [{"task_id": "HumanEval/0", "completion": "    return a + b\n"}])
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        if named := re.match(r"# (\w+\.py)\n", block):
            (folder / named[1]).write_text(block)
    shutil.copy(load_few_shot("python").path, folder / "mine.md")


def _write_recipe(place: Place) -> None:
    """README's recipe, with stand-ins, and fewer seeds, steps and problems."""
    (recipe,) = (block for block in blocks(ROOT / "README.md", "toml") if block.startswith("# mine.toml"))
    text = place.put(recipe)
    for old, new in {
        "limit = 20000": "limit = 4",
        "[train]\n": '[train]\nmax_steps = 1\nbatch = 2\nprecision = "float32"\n',
        "[evaluate]\n": f"[evaluate]\nmax_tokens = 16\nproblems = {PROBLEMS}\n",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (place.folder / "mine.toml").write_text(
        text + "\n[execution]\nwarm = []\n[responses]\nsamples = 4\nstop_after_passes = 0\n"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The clean folder, as the current one, after README's recipe has run once."""
    folder = tmp_path_factory.mktemp("clean")
    _furnish(folder)
    before = Path.cwd()
    os.chdir(folder)
    server = FaultyServer(models=(BASE,), always=_speak)
    try:
        with server:
            one = Place(folder, server.url.removesuffix("/v1"))
            _write_recipe(one)
            one.call(["selfcodealign", "run", "mine.toml"])
            one.row = rows_of(folder / "runs" / "mine", "selection")[0]["seed_id"][:8]
            yield one
    finally:
        os.chdir(before)


@pytest.mark.parametrize("command", RUN, ids=str)
def test_a_command_runs_as_printed(place: Place, command: Typed) -> None:
    """With stand-ins and less to do, it ends with exit code 0."""
    place.turn_to(command.page)
    shutil.copy("rows.jsonl" if command.words[1] == "execute" else "solutions.jsonl", "answers.jsonl")
    typed = Typed(command.page, place.put(command.text)).words
    added = next((more for pattern, more in SMALLER.items() if re.search(pattern, command.text)), [])
    printed = place.call([*typed, *added])
    assert "Traceback" not in printed


def test_the_tables_of_this_module_hold_nothing_that_no_command_needs() -> None:
    """A stand-in, an addition or an excuse leaves with its command."""
    texts = [one.text for one in TYPED] + blocks(ROOT / "README.md", "toml")
    for table in (STAND_INS, SMALLER, ONLY_READ):
        for pattern in table:
            assert any(re.search(pattern, text) for text in texts), pattern


@pytest.mark.parametrize("command", READ, ids=str)
def test_a_command_that_is_not_run_is_right_in_every_word(command: Typed) -> None:
    """Commands, options, settings, stages, benchmarks, formats, targets, modules, extras and files exist."""
    words = command.words
    check = {"selfcodealign": _check_own, "make": _check_make, "pip": _check_pip, "pytest": _check_python}
    check |= {"python": _check_python, "python3": _check_python, "bash": _check_script}
    if command.program in check:
        check[command.program](command, words[1:])
    else:
        assert command.program in ("source", "pre-commit", "vllm", "cp", "export"), (
            f"{command}: nothing here can check it"
        )


def _check_own(command: Typed, words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    if words[0].startswith("-"):
        assert words[0] in {option for parameter in group.params for option in parameter.opts} | {
            "--install-completion"
        }
        return
    own = group.get_command(None, words[0])
    assert own is not None, f"{command}: no such command"
    if command.mentioned:
        known = {option for parameter in own.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, str(command)
        return
    given = own.make_context(words[0], words[1:]).params
    if words[0] == "run":
        recipe = load_recipe(given["recipe"], given["settings"] or [])
        names = [name for name in given["added"] or [] if ":" not in name]
        edit_journey(recipe.journey, names, given["removed"] or [], CATALOGUE)
        assert given["until"] in (None, *recipe.journey, *names)
    if words[0] == "train":
        section = METHODS[given["method"]].section
        default_recipe([t if "." in t.partition("=")[0] else f"{section}.{t}" for t in given["settings"] or []])
    if words[0] == "evaluate":
        assert all(find_benchmark(name) for name in given["benchmark"])
        assert set(given["mode"] or []) <= set(MODES)
    if words[0] == "export":
        find_format(given["to"])


def _check_script(command: Typed, words: list[str]) -> None:
    """The script exists, and takes the arguments of a run."""
    assert (ROOT / words[0]).is_file(), str(command)
    _check_own(command, ["run", *words[1:]])


def _check_make(command: Typed, words: list[str]) -> None:
    """The target exists, and make can say what it would do."""
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _check_pip(command: Typed, words: list[str]) -> None:
    """Extras exist; a wheel's name is the one that this version's wheel gets; torch is the pinned one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert words[0] in ("install", "wheel")
    for word in words[1:]:
        name, _, named = word.partition("[")
        if named:
            assert set(named.rstrip("]").split(",")) <= set(extras), str(command)
        if name.endswith(".whl"):
            assert Path(name).name == f"selfcodealign-{project['version']}-py3-none-any.whl"
        if "==" in name:
            assert any(name in needed for needed in extras.values()), f"{command}: not the pinned version"
        assert not name.startswith("selfcodealign"), f"{command}: the package is in no index"


def _check_python(command: Typed, words: list[str]) -> None:
    """The module or script exists, and so does each file of the repository that is named."""
    if words[0] == "-m" and words[1] not in ("pytest", "venv"):
        words = [words[1].replace(".", "/") + ".py", *words[2:]]
    for word in words:
        if re.match(r"(tests|tiny|bench|docs)/", word):
            assert (ROOT / word).exists(), str(command)


def test_no_command_escapes() -> None:
    """Blocks in other languages, and blocks inside lists, hold no command that nobody reads."""
    for page in PAGES:
        for language, block in re.findall(
            r"^ *```(\w*)\n(.*?)^ *```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            if language not in ("sh", "bash", "console", "shell"):
                assert not re.search(r"^ *(\$ |selfcodealign [a-z]|pip install)", block, re.MULTILINE), (
                    f"{page}: {block}"
                )
    assert not [str(one) for one in TYPED if one not in RUN and one not in READ]


def test_every_command_is_documented() -> None:
    """README and docs/ show each command at least once, in a block."""
    shown = {one.words[1] for one in TYPED if one.program == "selfcodealign" and not one.mentioned}
    assert shown == set(COMMANDS)


def test_the_questions_about_a_run_are_answered(place: Place) -> None:
    """The SQL of docs/run-folder.md runs on the run of README's recipe."""
    (block,) = blocks(ROOT / "docs" / "run-folder.md", "sql")
    for question in filter(str.strip, block.split(";")):
        assert duckdb.connect().execute(place.put(question)).description
