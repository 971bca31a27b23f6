"""The command `show`: a funnel with units, rows of a stage, an id to try."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

import selfcodealign
from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.report.funnel import read_funnel
from tests.support.command_line import call
from tests.support.journey import answer, scripted_model, small_recipe, write_sources
from tests.support.runs import rows_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seeds; a file without functions, one that does not parse, and one with two undocumented functions."""
    folder = tmp_path_factory.mktemp("show")
    source = write_sources(folder / "source", 12)
    (source / "none.py").write_text("x = 1\n")
    (source / "broken.py").write_text("def f(:\n")
    (source / "bare.py").write_text("def f(x):\n    return x\n\n\ndef g(x):\n    return x\n")
    asyncio.run(run_recipe(small_recipe(source), folder / "run", model=scripted_model()))
    return folder / "run"


def test_files_and_functions_are_counted_apart(run: Path) -> None:
    """15 files, 14 functions, 12 seeds: drops of files and of functions have lines of their own; JSON says the same."""
    seeds = next(one for one in read_funnel(run) if one.name == "seeds")
    assert (seeds.books.entered, seeds.looked_at, seeds.books.kept) == (15, 14, 12)
    assert (dict(seeds.whole), seeds.in_part) == ({"no_functions": 1, "syntax_error": 1}, {"no_docstring": 2})
    shown = call("show", str(run)).stdout
    for said in ("15 files", "14 functions", "12 seeds", "2 functions: no_docstring 2", "2 files: "):
        assert said in shown
    (told,) = [one for one in json.loads(call("show", str(run), "--json").stdout)["stages"] if one["stage"] == "seeds"]
    assert told["units"] == {"in": "files", "made": "functions", "kept": "seeds"}
    assert (told["in"], told["made"], told["kept"]) == (15, 14, 12)
    card = (run / "dataset" / "README.md").read_text("utf-8")
    assert "| seeds (files → functions → seeds) | 15 | 12 |" in card


def test_every_drop_is_of_what_came_in_or_of_what_was_made(run: Path) -> None:
    """Kept and dropped rows of each unit add up; a filter drops what came in."""
    for one in read_funnel(run):
        assert sum(one.whole.values()) + sum(one.in_part.values()) == sum(one.books.dropped.values())
        if one.looked_at is not None:
            assert one.looked_at == one.books.kept + sum(one.in_part.values())
    responses = next(one for one in read_funnel(run) if one.name == "responses")
    assert (responses.came, responses.made, responses.whole) == ("instructions", "responses", {})


def test_rows_that_come_twice_are_counted(tmp_path: Path) -> None:
    """A stage that looks at single rows works once on rows of one id, and the account says how many came again."""
    source = write_sources(tmp_path / "source", 2)
    shutil.copy(next(source.glob("*.py")), source / "copied.py")
    asyncio.run(run_recipe(small_recipe(source), tmp_path / "run", model=scripted_model(), until="decontamination"))
    seeds, decontamination = read_funnel(tmp_path / "run")
    assert (seeds.books.kept, decontamination.books.entered, decontamination.again) == (3, 2, 1)
    assert "1 came twice" in call("show", str(tmp_path / "run")).stdout


def test_rows_of_earlier_settings_are_named_as_that(run: Path, tmp_path: Path) -> None:
    """A changed setting and --until leave later stages and the data set behind; a whole run brings them up to date."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    changed = small_recipe(run.parent / "source", "responses.samples=2")
    asyncio.run(run_recipe(changed, folder, until="responses", model=scripted_model(), replace_finished=True))
    assert [one.name for one in read_funnel(folder) if one.earlier] == ["selection"]
    shown = call("show", str(folder)).stdout
    assert "selection (of earlier rows)" in re.sub(r"\s+", " ", shown)
    assert f"data set (of earlier rows): {folder / 'dataset'}" in shown
    asyncio.run(run_recipe(changed, folder, until="instructions", model=scripted_model()))
    assert "(of earlier rows)" in call("show", str(folder)).stdout
    asyncio.run(run_recipe(changed, folder, model=scripted_model()))
    assert not any(one.earlier for one in read_funnel(folder))
    assert "of earlier" not in call("show", str(folder)).stdout


def test_rows_of_a_stage_are_shown_with_ids_and_reasons(run: Path) -> None:
    """As many as asked for, all of that reason; the same seed shows the same rows, and an id leads to a story."""
    dropped = [row for row in rows_of(run, "responses", "dropped") if row["reason"] == "failed"]
    words = ["show", str(run), "--stage", "responses", "--reason", "failed", "--sample", "2"]
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert f"responses, failed: 2 of {len(dropped)}" in done.stdout
    ids = re.findall(r"^response (\w{16})  source", done.stdout, re.MULTILINE)
    assert len(ids) == 2
    assert set(ids) <= {row["response_id"] for row in dropped}
    assert "AssertionError" in done.stdout
    assert call(*words).stdout == done.stdout
    assert call("show", str(run), ids[0]).returncode == 0
    kept = json.loads(call("show", str(run), "--stage", "seeds", "--reason", "kept", "--sample", "50", "--json").stdout)
    assert {row["seed_id"] for row in kept} == {row["seed_id"] for row in rows_of(run, "seeds")}
    assert "none.py" in call("show", str(run), "--reason", "no_functions").stdout
    everything = json.loads(call("show", str(run), "--stage", "seeds", "--sample", "50", "--json").stdout)
    assert len(everything) == 16
    other = call("show", str(run), "--stage", "seeds", "--sample", "3", "--seed", "1").stdout
    assert other != call("show", str(run), "--stage", "seeds", "--sample", "3").stdout


def test_the_id_to_try_works(run: Path) -> None:
    """`show RUN` ends with a command that tells one row's story."""
    line = call("show", str(run)).stdout.splitlines()[-1]
    words = line.partition("one row's story: selfcodealign ")[2].split()
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert "in the data set" in done.stdout


def test_long_texts_are_cut_unless_full(tmp_path: Path) -> None:
    """A function of sixty lines is shown in part, and how to see the rest."""
    (tmp_path / "source").mkdir()
    lines = "".join(f"    x = x + {number}\n" for number in range(60))
    (tmp_path / "source" / "long.py").write_text(f'def f(x):\n    """Add many numbers to x."""\n{lines}    return x\n')
    recipe = small_recipe(tmp_path / "source")
    asyncio.run(run_recipe(recipe, tmp_path / "run", until="seeds", model=scripted_model()))
    words = ["show", str(tmp_path / "run"), "--stage", "seeds"]
    short, full = call(*words).stdout, call(*words, "--full").stdout
    assert "more characters: --full" in short
    assert "x + 59" not in short
    assert "x + 59" in full


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stage", "respnses"], 'no stage "respnses" in this run; did you mean "responses"? (it has rows of seeds, '),
        (["--stage", "responses", "--reason", "faild"], 'did you mean "failed"? (there are kept '),
        (["--reason", "nonsense"], 'no stage dropped anything for the reason "nonsense" (known: '),
        (["--reason", "kept"], "which stage? Give --stage: seeds, "),
        (["--sample", "3"], "--sample, --seed and --full go with --stage or --reason"),
        (["abcd", "--stage", "seeds"], "abcd is one row, shown whole"),
    ],
)
def test_unknown_stages_and_reasons_list_those_that_exist(run: Path, words: list[str], said: str) -> None:
    """One line, exit code 2."""
    done = call("show", str(run), *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_answers_without_code_are_counted_and_shown(tmp_path: Path) -> None:
    """The funnel says their share and the command that shows some; what was mended stands on the row that is kept."""

    def answer_oddly(prompt: str, sampling: Sampling, seed: int) -> str:
        text = answer(prompt, sampling, seed)
        if text.startswith("```python"):
            return (
                text.replace("    return", "\u00a0\u00a0return")
                if seed % 2
                else "So sorry.\n</response>\n<tests>\nassert f()\n</tests>\n"
            )
        return text

    recipe = small_recipe(write_sources(tmp_path / "source", 12), "responses.stop_after_passes=0")
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=ScriptedModel(answer_oddly)))
    dropped = [row for row in rows_of(tmp_path / "run", "responses", "dropped") if row["reason"] == "no_code"]
    shown = call("show", str(tmp_path / "run")).stdout
    assert f"answers without code: {len(dropped)} of 48" in shown
    some = call("show", str(tmp_path / "run"), "--stage", "responses", "--reason", "no_code", "--sample", "3").stdout
    assert some.count("So sorry.") == 3
    kept = rows_of(tmp_path / "run", "responses", "kept")
    assert {row["repairs"] for row in kept} == {"no-break spaces"}
    assert not any("\u00a0" in row["response"] for row in kept)
    assert all("\u00a0" in row["completion"] for row in kept)


def test_the_exact_prompts_of_rows_are_laid_out_again(tmp_path: Path) -> None:
    """Kept and dropped rows of every model stage; nothing is stored for it. A changed few-shot file is named."""
    asked: dict[str, list[str]] = {}

    def script(prompt: str, sampling: Sampling, seed: int) -> str:
        kind = re.findall(r"<(\w+)>\n\Z", prompt)[0]
        asked.setdefault(kind, []).append(prompt)
        if kind == "instruction" and seed % 3 == 0:
            return "def f(x):\n    return x\n</instruction>"
        return answer(prompt, sampling, seed)

    few_shot = tmp_path / "own.md"
    shutil.copy(Path(selfcodealign.__file__).parent / "few_shot" / "python.md", few_shot)
    recipe = small_recipe(write_sources(tmp_path / "source", 6), f'few_shot.file="{few_shot}"', added=["judge"])
    asyncio.run(run_recipe(recipe, tmp_path / "run", until="responses", model=ScriptedModel(script)))
    for stage, field in (("judge", "seed_id"), ("instructions", "instruction_id"), ("responses", "response_id")):
        for kind in ("kept", "dropped"):
            for row in rows_of(tmp_path / "run", stage, kind)[:1]:
                shown = call("show", str(tmp_path / "run"), row[field], "--prompt")
                assert shown.returncode == 0, shown.stderr
                found = re.findall(r"===== (\w+): the prompt =====\n(.*?)\n===== \1: what", shown.stdout, re.DOTALL)
                assert found
                assert all(prompt in [one for prompts in asked.values() for one in prompts] for _, prompt in found)
                assert stage in [name for name, _ in found]
                assert "has changed since" not in shown.stdout
    row = rows_of(tmp_path / "run", "responses")[0]
    assert row["completion"] in call("show", str(tmp_path / "run"), row["response_id"], "--prompt").stdout
    few_shot.write_text(few_shot.read_text("utf-8").replace("line-by-line processing", "line processing"), "utf-8")
    assert "own.md has changed since" in call("show", str(tmp_path / "run"), row["response_id"], "--prompt").stdout
    assert "which one?" in call("show", str(tmp_path / "run"), "--prompt").stderr


def test_only_what_the_journey_has_is_listed_and_a_missing_data_set_is_called_that(run: Path, tmp_path: Path) -> None:
    """A stage that left the journey, with its output and its counts; a run that has not come to its data set."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    counted = {"concepts": {"concepts removed: code": 3}}
    (folder / "tuned").mkdir()
    (folder / "tuned" / "train_report.html").write_text("")
    (folder / "run.json").write_text(json.dumps(facts | {"counted": counted}))
    shutil.rmtree(folder / "dataset")
    shown = call("show", str(folder)).stdout
    assert "tuned model" not in shown
    assert "concepts: concepts removed: code 3" in shown
    assert "the data set is not written yet: run the recipe to its stage dataset" in shown
    assert "the data set is not written yet" in call("show", str(folder), "--stage", "dataset").stderr
    shorter = [name for name in facts["journey"] if name not in ("concepts", "dataset")]
    (folder / "run.json").write_text(json.dumps(facts | {"counted": counted, "journey": shorter}))
    shown = call("show", str(folder)).stdout
    funnel, told, _ = " ".join(shown.split()).partition("written by")
    assert told
    assert "concepts" not in funnel.replace("concept lists", "")
    assert "the data set is" not in shown
