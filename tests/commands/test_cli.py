"""The command line: fast, with helpful --help and one line for each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import selfcodealign
from selfcodealign import run_recipe
from selfcodealign.commands.doctor import EXTRAS
from selfcodealign.commands.running import load
from selfcodealign.errors import RecipeError
from selfcodealign.installation import install_extra
from selfcodealign.pipeline import CATALOGUE
from selfcodealign.recipe import changed_settings, load_recipe
from tests.support.command_line import call
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.runs import books, rows_of


@pytest.mark.parametrize("command", ["run", "show", "doctor", "execute", "train", "evaluate", "export"])
def test_every_command_has_help_that_shows_how(command: str) -> None:
    """--help says what a command does, with an example if the command takes arguments."""
    done = call(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert command == "doctor" or f"selfcodealign {command} " in done.stdout.replace("Usage: ", "")


def test_the_version_is_said_once() -> None:
    """The package, its metadata and the command line name the same version."""
    done = call("--version")
    assert done.stdout.strip() == selfcodealign.__version__ == version("selfcodealign")


def test_importing_is_silent_and_brings_no_heavy_library() -> None:
    """`import selfcodealign` prints nothing and loads neither torch nor pyarrow nor pydantic."""
    heavy = [
        "torch",
        "transformers",
        "pyarrow",
        "duckdb",
        "numpy",
        "pydantic",
        "httpx",
        "aiohttp",
        "rich",
        "typer",
        "datasets",
    ]
    code = f"import sys, selfcodealign; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mistakes"], 'no command "mistakes". See: selfcodealign --help'),
        (["rum"], 'no command "rum"; did you mean "run"?'),
        (["run"], "which recipe? Try: selfcodealign run quickstart"),
        (["run", "papr"], 'did you mean "paper"?'),
        (["run", "quickstart", "--set", "concept.examples=2"], 'unknown setting "concept"; did you mean "concepts"?'),
        (["run", "quickstart", "--until", "selektion"], 'did you mean "selection"?'),
        (["run", "quickstart", "--with", "juge"], 'no stage "juge"; did you mean "judge"?'),
        (["run", "quickstart", "--with", "train"], "--with train: this journey has that stage already"),
        (["run", "quickstart", "--without", "judge"], "--without judge: this journey has no such stage"),
        (
            ["run", "quickstart", "--without", "instructions", "--without", "distinct"],
            'stage "responses" takes Instruction rows and would be given Concepts; between them belongs instructions',
        ),
        (["run", "quickstart", "--without", "dataset"], 'stage "train" needs the stage "dataset" before it'),
        (["run", "quickstart", "--set", 'journey=["near_dedup"]'], "nothing comes before it; before it belongs seeds"),
        (["run", "quickstart", "--set", "judge.examples=4"], "no stage judge; add it with --with judge"),
        (["run", "quickstart", "--set", "judge.enabled=true"], "give --with judge"),
        (["run", "quickstart", "--set", 'evaluate.benchmarks=["humanevil"]'], 'did you mean "humaneval"?'),
        (["run", "--out", "nowhere"], "nowhere holds no run to resume"),
        (["run", "quickstart", "--set", "model.name=./no/such/model"], "no/such/model"),
        (["run", "quickstart", "--set", 'seeds.sources=["no/such/folder"]'], "no/such/folder"),
        (["run", "quickstart", "--set", "few_shot.file=pyton"], 'did you mean "python"?'),
        (["run", "quickstart", "--out", "/proc/nowhere"], "choose another --out"),
        (["show", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_a_mistake_is_answered_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    """Exit code 2, one line on stderr that names the fix, no traceback."""
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert said in errors[0]
    assert "Traceback" not in done.stderr


async def test_show_tells_the_funnel_and_a_rows_story(tmp_path: Path) -> None:
    """The funnel as a table and as JSON; a story by the first digits of a seed's, instruction's or response's id."""
    run = tmp_path / "run"
    await run_recipe(small_recipe(write_sources(tmp_path / "source", 6)), run, model=scripted_model())
    table = call("show", str(run))
    assert "responses" in table.stdout
    assert "data set: " in table.stdout
    stages = {one["stage"]: one for one in json.loads(call("show", str(run), "--json").stdout)["stages"]}
    assert stages["responses"]["kept"] == books(run)["responses"][1]
    row = rows_of(run, "selection")[0]
    for row_id in (row["seed_id"], row["instruction_id"][:8], row["response_id"]):
        story = call("show", str(run), row_id)
        assert story.returncode == 0, story.stderr
        for fact in (row["seed_id"], ", ".join(row["concepts"]), row["instruction"][:30], "in the data set"):
            assert fact in story.stdout
    for row_id in (row["seed_id"], row["response_id"]):
        assert re.search(r"tests kill\s+\d+% of\s+mutants", call("show", str(run), row_id).stdout)
    dropped = rows_of(run, "responses", "dropped")[0]
    story = call("show", str(run), dropped["response_id"])
    assert f"dropped by responses: {dropped['reason']}" in story.stdout
    for wrong, said in (("zz", "is no row id"), ("0" * 16, "no row of this run")):
        done = call("show", str(run), wrong)
        assert (done.returncode, said in done.stderr) == (2, True)


def test_an_empty_data_set_is_exit_code_3(tmp_path: Path) -> None:
    """One line with the stage and its reason, after the funnel; training is not reached."""
    source = write_sources(tmp_path / "source", 2)
    settings = ["--set", f'seeds.sources=["{source}"]', "--set", "responses.max_tokens=1"]
    done = call("run", "quickstart", "--out", "run", *settings, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: the data set is empty: the stage ")
    assert errors[0].endswith("see them with: selfcodealign show run --stage seeds")
    assert "Where the rows went" in done.stderr


def test_a_dry_run_checks_everything_and_does_nothing(tmp_path: Path) -> None:
    """The plan comes first, then only what differs from the recipe; no folder is created; a bad source is found."""
    source = write_sources(tmp_path / "source", 2)
    words = ["run", "quickstart", "--out", "run", "--dry-run", "--source", str(source), "--limit", "3"]
    done = call(*words, "-m", "embedded", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "What a run would do in run"
    assert rest[0] == "  seeds: from the beginning"
    assert f'  seeds.sources = ["{source}"]' in rest
    assert "  seeds.limit = 3" in rest
    assert not [line for line in rest if "few_shot" in line]
    assert [line for line in rest if line.startswith("  3 seeds at most: 21–57 requests, ")]
    for option in ("--settings", "-v"):
        assert 'file = "tiny"' in call(*words, option, cwd=tmp_path).stdout
    assert not (tmp_path / "run").exists()
    done = call("run", "quickstart", "--dry-run", "--set", "seeds.sources=absent", cwd=tmp_path)
    assert done.returncode == 2


def test_the_short_options_of_run_are_settings(tmp_path: Path) -> None:
    """-m, --url, --source and -o; servers that are named twice share the load."""
    words = ["run", "quickstart", "-o", "run", "--until", "seeds", "-m", "org/m", "--url", "http://a:1"]
    words += ["--url", "http://b:1", "--source", str(write_sources(tmp_path / "a", 2)), "--source", "package:rich"]
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    recipe = load_recipe(tmp_path / "run" / "recipe.toml")
    assert (recipe.model.name, recipe.model.urls) == ("org/m", ["http://a:1", "http://b:1"])
    assert recipe.seeds.sources == [str(tmp_path / "a"), "package:rich"]


def test_a_renamed_setting_is_named_in_one_line(tmp_path: Path) -> None:
    """The earlier name works; one line on stderr names the current one."""
    done = call("run", "quickstart", "--out", "run", "--dry-run", "--set", "execution.strength=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "execution.mutation_testing = false" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith('warning: the setting "strength" is now "mutation_testing"')


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def test_doctor_proves_the_walls() -> None:
    """Every wall is listed with its proof; the exit code says whether programs can be run safely."""
    done = call("doctor", env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stdout + done.stderr
    for extra, names in EXTRAS.items():
        whole = (
            f"extra {extra}: {install_extra(extra)}\n" in done.stdout
        )  # a command that a table broke cannot be copied
        assert whole != all(_is_installed(name) for name in names)
    assert "Programs can be run safely here" in done.stdout
    assert "free disk" in done.stdout


def test_help_does_not_import_the_pipeline() -> None:
    """`selfcodealign --help` is fast because it imports no library of the stages."""
    code = (
        "import sys\nsys.argv = ['selfcodealign', '--help']\nfrom selfcodealign.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('pyarrow', 'duckdb', 'torch', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_help_of_run_names_every_stage() -> None:
    """The catalogue and the help are one list."""
    said = " ".join(call("run", "--help").stdout.replace("│", " ").split())
    assert f"Stages: {', '.join(CATALOGUE)}." in said


def test_a_run_folder_in_the_earlier_form_is_refused_by_every_command(tmp_path: Path) -> None:
    """run, show and export say it in one line, whatever its recipe.toml holds."""
    run = tmp_path / "old"
    (run / "seeds").mkdir(parents=True)
    (run / "run.json").write_text('{"selfcodealign": "0.1.0"}')
    (run / "recipe.toml").write_text("[judge]\nenabled = true\n")
    for words in (
        ["run", "--out", str(run)],
        ["run", "quickstart", "--out", str(run), "--dry-run"],
        ["show", str(run)],
        ["show", str(run), "abcd"],
        ["export", str(run), "--to", "dpo", "--out", str(tmp_path / "pairs.jsonl")],
    ):
        done = call(*words, cwd=tmp_path)
        assert done.returncode == 2, words
        assert "in the format of an earlier version" in done.stderr, words
        assert done.stderr.count("\n") == 1, words


@pytest.mark.parametrize(
    ("recipe", "setting", "stage"),
    [
        ("magpie", "decontamination.benchmarks=[]", "decontamination"),
        ("evol-instruct-verified", "responses.samples=3", "responses"),
        ("quickstart", "evolve.rounds=2", None),
    ],
)
def test_a_setting_counts_where_another_stage_reads_it(recipe: str, setting: str, stage: str | None) -> None:
    """`selection` compares rows with benchmarks, `evolve_verified` draws answers; what no stage reads is refused."""
    if stage is None:
        with pytest.raises(RecipeError, match="no stage evolve; add it with --with evolve"):
            load(recipe, [setting], [], [])
        return
    loaded = load(recipe, [setting], [], [])
    assert stage not in loaded.journey
    assert not changed_settings(loaded, load_recipe(recipe, [setting]))
