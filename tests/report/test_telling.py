"""`show RUN --all`: all facts on a terminal, with nothing in them that a terminal obeys."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from selfcodealign.report.facts import read_facts
from selfcodealign.report.telling import tell_facts
from selfcodealign.report.visible import show_line, show_text
from tests.support.command_line import call
from tests.support.reported import add_evaluation, add_training, make_run

#: Clears a screen, sets a title, hides text by overwriting, and turns the direction of reading.
HOSTILE = "\x1b[2J\x1b]0;title\x07safe\rgone\x9b31m\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows are hostile in every text."""
    run = make_run(tmp_path_factory.mktemp("hostile"), seeds=4)
    add_training(run)
    add_evaluation(run)
    for path in sorted(run.glob("*/*.parquet")):
        if path.parent.name == "data":
            continue
        table = pq.read_table(path)
        rows = [dict(_harm(row)) for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    return run


def _harm(row: dict) -> Iterator[tuple[str, object]]:
    kept = ("kind", "status", "reason", "parent", "proof")
    for name, value in row.items():
        if isinstance(value, str) and not name.endswith("_id") and name not in kept:
            yield name, value + HOSTILE
        elif name == "concepts":
            yield name, [one + HOSTILE for one in value or []]
        else:
            yield name, value


def _is_harmless(text: str) -> bool:
    return not any((letter < " " and letter not in "\n\t") or letter in "\x7f\x9b\u202e" for letter in text)


@pytest.mark.parametrize(
    "words", [["--all"], [], ["--stage", "responses"], ["--stage", "selection", "--full"], ["--stage", "seeds"]]
)
def test_nothing_in_a_row_reaches_the_terminal(run: Path, words: list[str]) -> None:
    """Control characters of rows are written out, whatever `show` shows of them."""
    done = call("show", str(run), *words)
    assert done.returncode == 0, done.stderr
    assert _is_harmless(done.stdout)
    assert ("\\u001b" in done.stdout) == bool(words)


def test_nothing_in_a_story_reaches_the_terminal(run: Path) -> None:
    """The story of an example with all its texts."""
    row = pq.read_table(next((run / "selection").glob("kept-*.parquet"))).to_pylist()[0]
    done = call("show", str(run), row["response_id"])
    assert "\\u001b" in done.stdout
    assert _is_harmless(done.stdout)


@given(st.text())
def test_a_line_is_one_harmless_line(text: str) -> None:
    """Any text: no control character, no line end; in a text, line ends and tabs are left."""
    assert _is_harmless(show_line(text))
    assert "\n" not in show_line(text)
    assert _is_harmless(show_text(text))
    assert show_text("a\tb\n") == "a\tb\n"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_all_facts_fit_the_terminal(run: Path, width: int) -> None:
    """No line is wider, and every group of facts is there."""
    console = Console(file=io.StringIO(), width=width)
    for part in tell_facts(read_facts(run, shown=0)):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    for words in (
        "Where the rows went",
        "Answers that passed, by stage",
        "Verified answers of an instruction",
        "Sizes",
        "Most frequent concepts",
        "Compared with tiny-eval",
        "Rows by licence",
        "Who wrote what",
        "Training (train)",
        "What repeats the run",
    ):
        assert words in text


def test_all_facts_are_printed_as_json(run: Path) -> None:
    """Strict JSON, which a pipe reads."""
    done = call("show", str(run), "--all", "--json")
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert {"rates", "concepts", "shown", "repeat", "warnings"} <= set(found)
    assert len(found["shown"]) > 0


def test_show_names_the_ways_to_more(run: Path) -> None:
    """The funnel ends with the commands for all figures and for the page."""
    done = call("show", str(run))
    assert f"selfcodealign show {run} --all" in done.stdout
    assert f"selfcodealign report {run}" in done.stdout


@pytest.mark.parametrize("words", [["3f9a", "--all"], ["--all", "--stage", "seeds"], ["--all", "--reason", "kept"]])
def test_all_goes_with_nothing_narrower(run: Path, words: list[str]) -> None:
    """One line says what to leave out."""
    done = call("show", str(run), *words)
    assert done.returncode == 2
    assert "--all" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_report_is_told_below(run: Path) -> None:
    """What cannot be read does not hide the rest."""
    facts = read_facts(run, shown=0)
    console = Console(file=io.StringIO(), width=80)
    for part in tell_facts(replace(facts, warnings=["the scores cannot be told"], evaluation=None)):
        console.print(part)
    assert "not told: the scores cannot be told" in console.file.getvalue()  # type: ignore[attr-defined]
