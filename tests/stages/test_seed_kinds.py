"""Seeds that are no functions go the same way: windows of lines, and commits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.report.funnel import read_funnel
from selfcodealign.stages.concepts import drop_docstrings
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.repositories import commit, new_repository
from tests.support.runs import books, rows_of


def write_history(folder: Path, count: int) -> Path:
    """A repository with `count` commits that fix one file each, and as many that began them."""
    new_repository(folder)
    sources = write_sources(folder.parent / "files", count)
    for path in sorted(sources.iterdir()):
        text = path.read_text()
        commit(folder, f"Begin with {path.stem}", **{path.name.replace(".", "__"): text.replace("math.floor", "round")})
        commit(folder, "Change how the total is rounded", **{path.name.replace(".", "__"): text})
    return folder


async def test_windows_of_lines_become_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage takes them, also where a window is no program and the docstrings of seeds are not shown."""
    judge_by_text(monkeypatch)
    run = tmp_path / "run"
    sources = write_sources(tmp_path / "source", 12)
    recipe = small_recipe(sources, "seeds.kind=lines", "seeds.lines_min=3", "concepts.snippet_docstrings=false")
    await run_recipe(recipe, run, model=scripted_model())
    assert books(run)["seeds"] == (12, 12, {})
    seeds = rows_of(run, "seeds")
    assert {row["kind"] for row in seeds} == {"lines"}
    for row in seeds:
        lines = (sources / row["source_path"]).read_text().split("\n")
        begin = row["source_line"] - 1
        assert "\n".join(lines[begin : begin + row["seed"].count("\n") + 1]) == row["seed"]
    rows = pq.read_table(run / "dataset" / "data").to_pylist()
    assert rows
    assert {row["kind"] for row in rows_of(run, "selection")} == {"lines"}
    units = next(one for one in read_funnel(run) if one.name == "seeds").units()
    assert units == "files → seeds"


async def test_concepts_are_those_of_the_code_after_a_commit(tmp_path: Path) -> None:
    """Prompts show it, and rows keep the code before and the subject; the report counts commits."""
    prompts: list[str] = []

    def note(prompt: str, sampling: Sampling, seed: int) -> str:
        prompts.append(prompt)
        return answer(prompt, sampling, seed)

    run = tmp_path / "run"
    history = write_history(tmp_path / "history", 4)
    recipe = small_recipe(
        history, "seeds.kind=commits", f'seeds.sources=["git:{history}"]', "seeds.commits_skip=too_few_tokens"
    )
    await run_recipe(recipe, run, until="concepts", model=ScriptedModel(note))
    assert books(run)["seeds"] == (8, 4, {"names_file": 4})
    rows = rows_of(run, "concepts")
    assert len(rows) == 4
    for row in rows:
        assert (row["kind"], row["commit_message"]) == ("commits", "Change how the total is rounded")
        assert row["old_code"] == row["seed"].replace("math.floor", "round")
        assert any(row["seed"].strip("\n") in prompt for prompt in prompts)
        assert not any("total = round(" in prompt for prompt in prompts)
    assert next(one for one in read_funnel(run) if one.name == "seeds").units() == "commits → seeds"


async def test_another_kind_reads_the_sources_again(tmp_path: Path) -> None:
    """The seeds start again and say why; those before are kept aside."""
    sources = write_sources(tmp_path / "source", 3)
    run = tmp_path / "run"
    await run_recipe(small_recipe(sources), run, until="seeds")
    recipe = small_recipe(sources, "seeds.kind=lines")
    (said,) = await plan_recipe(recipe, run, until="seeds")
    assert 'because seeds.kind changed from "functions" to "lines"' in said.sentence
    await run_recipe(recipe, run, until="seeds")
    assert {row["kind"] for row in rows_of(run, "seeds")} == {"lines"}


@pytest.mark.parametrize(
    ("settings", "added", "said"),
    [
        (["seeds.kind=commits"], [], r'has no commits, which seeds\.kind="commits" takes: name a repository'),
        (["seeds.kind=lines"], ["judge"], r'the judge reads docstrings, .*seeds\.kind="lines".*--without judge'),
        (
            ["seeds.kind=commits", 'seeds.sources=["git:HISTORY"]', "seeds.commits_tokenizer=nowhere"],
            [],
            r"seeds\.commits_tokenizer names nowhere",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, settings: list[str], added: list[str], said: str) -> None:
    """In one line that names the fix, by a dry run as by a run, before any work."""
    history = write_history(tmp_path / "history", 1)
    sources = write_sources(tmp_path / "source", 1)
    given = [one.replace("HISTORY", str(history)) for one in settings]
    recipe = small_recipe(sources, *given, added=added)
    for call in (plan_recipe, run_recipe):
        with pytest.raises(UserError, match=said) as error:
            asyncio.run(
                call(recipe, tmp_path / "run", until="near_dedup" if not added else "judge", model=scripted_model())
            )
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "seeds").exists()


@pytest.mark.parametrize("text", ['    """No docstring of this."""\n  x = (', "x = '\0'", "(" * 5000, ""])
def test_text_that_is_no_program_is_shown_as_it_is(text: str) -> None:
    """Docstrings are taken out of programs only."""
    assert drop_docstrings(text) == text
