"""The command `seeds`: curation without a model, its funnel, and the line behind each drop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfcodealign.recipe import load_recipe
from selfcodealign.report.explain import find_deciding_line
from tests.support.command_line import call
from tests.support.journey import write_sources
from tests.support.runs import rows_of

DROPPED = '''
def shout(text):
    """Return the text in upper case, with marks."""
    # VOLUME is not defined anywhere
    return text.upper() + "!" * VOLUME


def tell(text):
    """Print the text, and give nothing back."""
    print(text)
    return
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files with one seed each, and one whose two functions are none."""
    folder = write_sources(tmp_path_factory.mktemp("seeds") / "source", 5)
    (folder / "dropped.py").write_text(DROPPED)
    return folder


def seeds(*words: str | Path) -> str:
    done = call("seeds", *map(str, words), "--set", "seeds.licence=MIT")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_seeds_are_kept_and_every_drop_shows_the_line_that_decided(source: Path, tmp_path: Path) -> None:
    """The funnel has the counts, the rows are where it says, and --explain shows code and not comments."""
    said = seeds(source, "-o", tmp_path / "run", "--explain")
    assert "5 seeds" in said
    shown = [line.strip() for line in said.splitlines()]
    assert "seeds: undefined_names 1" in shown
    assert '4 |     return text.upper() + "!" * VOLUME' in shown
    assert any("dropped.py" in line and "tell" in line for line in shown)
    place = next(line for line in shown if line.startswith("seeds: ") and line.endswith("/kept-*.parquet"))
    assert len(list(Path("/").glob(place.removeprefix("seeds: ").lstrip("/")))) > 0
    assert len(rows_of(tmp_path / "run", "near_dedup")) == 5


def test_a_later_call_and_a_run_go_on_from_the_same_seeds(source: Path, tmp_path: Path) -> None:
    """Without a source the folder's own recipe counts; a run with these sources takes the seeds as they are."""
    out = tmp_path / "run"
    seeds(source, "-o", out, "--recipe", "quickstart")
    again = call("seeds", "-o", str(out))
    assert again.returncode == 0, again.stderr
    assert "5 seeds" in again.stdout
    planned = call(
        "run", "quickstart", "-o", str(out), "--source", str(source), "--set", "seeds.licence=MIT", "--dry-run"
    )
    assert planned.returncode == 0, planned.stderr
    line = next(line for line in planned.stdout.splitlines() if line.strip().startswith("seeds"))
    assert "5 seeds" in line
    assert "starts" not in line
    assert "resumes" not in line


def test_a_limit_keeps_some_of_the_same_seeds(source: Path, tmp_path: Path) -> None:
    """`--limit 2` keeps two of the five."""
    seeds(source, "-o", tmp_path / "all")
    seeds(source, "-o", tmp_path / "two", "--limit", "2")
    every, two = ({row["seed_id"] for row in rows_of(tmp_path / name, "near_dedup")} for name in ("all", "two"))
    assert (len(every), len(two)) == (5, 2)
    assert two < every


def test_a_recipe_gives_its_stages_before_the_first_that_asks_a_model(source: Path, tmp_path: Path) -> None:
    """`--recipe paper` takes the published curation, and leaves its judge and its model alone."""
    seeds(source, "-o", tmp_path / "run", "--recipe", "paper")
    journey = load_recipe(tmp_path / "run" / "recipe.toml").journey
    assert journey == load_recipe("paper").journey[: len(journey)]
    assert load_recipe("paper").journey[len(journey)] == "judge"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stdlib"], "Give --out"),
        (["-o", "{tmp}/none"], "name a source"),
        (["nowhere", "-o", "{tmp}/run"], "does not exist"),
        (["stdlib", "-o", "{tmp}/run", "--sample", "2"], "--explain"),
        (["stdlib", "-o", "{tmp}/run", "--recipe", "pape"], "paper"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_fix(words: list[str], said: str, tmp_path: Path) -> None:
    """No folder is made, and no traceback is shown."""
    done = call("seeds", *(word.format(tmp=tmp_path) for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reason", "detail", "number"),
    [
        ("undefined_names", "VOLUME", 4),  # not the comment before it
        ("quality_rule", "line 2: the docstring", 2),
        ("too_few_arguments", "0", 1),
        ("near_copy", "0123456789abcdef (0.63)", 1),
    ],
)
def test_the_deciding_line(reason: str, detail: str, number: int) -> None:
    """The line that a detail names, else the first use of its names, else the signature."""
    code = DROPPED.strip().partition("\n\n\n")[0]
    found = find_deciding_line(code, reason, detail)
    assert found is not None
    assert found == (number, code.split("\n")[number - 1])


def test_a_dropped_file_has_no_line() -> None:
    """Its detail says all."""
    assert find_deciding_line("", "syntax_error", "invalid syntax (line 1)") is None


def test_the_funnel_of_seeds_as_json(source: Path, tmp_path: Path) -> None:
    """`show --json` reads the folder as it reads any run."""
    seeds(source, "-o", tmp_path / "run")
    accounts = json.loads(call("show", str(tmp_path / "run"), "--json").stdout)["stages"]
    assert accounts[0]["stage"] == "seeds"
    assert accounts[-1]["kept"] == 5


@pytest.mark.parametrize("stage", ["judge", "evaluate"])
def test_a_stage_that_comes_after_the_seeds_is_refused(source: Path, tmp_path: Path, stage: str) -> None:
    """It would be cut off, so it is not left out in silence; the error names the command that runs it."""
    done = call("seeds", str(source), "-o", str(tmp_path / "run"), "--with", stage)
    assert done.returncode == 2
    assert f"--with {stage}" in done.stderr
    assert "selfcodealign run" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_file_of_a_benchmark_can_be_named_without_the_stage_evaluate(source: Path, tmp_path: Path) -> None:
    """Decontamination reads `evaluate.problems`, so the setting counts in a journey that evaluates nothing."""
    problem = {
        "task_id": "own/0",
        "prompt": 'def shorten(text):\n    """Leave out each vowel of the text that stands after a consonant."""\n',
        "canonical_solution": "    return text\n",
        "test": "def check(candidate):\n    assert candidate('') == ''\n",
        "entry_point": "shorten",
    }
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(problem) + "\n")
    named = ["decontamination.benchmarks=['humaneval']", f"evaluate.problems={{humaneval='{file}'}}"]
    seeds(source, "-o", tmp_path / "run", *(word for setting in named for word in ("--set", setting)))
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [one["name"] for one in recorded["benchmarks"]] == ["humaneval"]


def test_no_seed_left_is_an_exit_code(tmp_path: Path) -> None:
    """The funnel is shown, and the last line says how to learn more."""
    (tmp_path / "bare.py").write_text("def f(x):\n    return x\n")
    done = call("seeds", str(tmp_path / "bare.py"), "-o", str(tmp_path / "run"))
    assert done.returncode == 3
    assert "no_docstring 1" in " ".join(done.stdout.split())
    assert "no seed is left" in done.stderr


def test_a_limit_that_no_stage_counts_is_refused(source: Path, tmp_path: Path) -> None:
    """Without `near_dedup`, a limit would be ignored."""
    done = call("seeds", str(source), "-o", str(tmp_path / "run"), "--limit", "1", "--without", "near_dedup")
    assert done.returncode == 2
    assert "near_dedup" in done.stderr
