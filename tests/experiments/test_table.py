"""The table of an experiment: files with stable keys, Markdown that reads as written, a terminal of 80 columns."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from selfcodealign.errors import ExperimentError
from selfcodealign.experiments.comparison.table import ExperimentTable, Line, draw_table, write_table
from tests.support.experiment_tables import make_answers, make_arm, make_base, make_grid, make_many, make_scores


def drawn(table: ExperimentTable, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(draw_table(table))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_three_files_are_written_and_replaced(tmp_path: Path) -> None:
    """A second call replaces them whole; nothing else is left in the folder."""
    out = tmp_path / "new" / "table"
    write_table(make_grid(), out)
    paths = write_table(make_answers(), out)
    assert [path.name for path in paths] == ["table.json", "table.md", "index.html"]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)
    assert all("Which answers" in path.read_text("utf-8") for path in paths)
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_table(make_answers(), out)] == first


def test_the_json_holds_everything(tmp_path: Path) -> None:
    """Scores as given, means by seed, differences with all p-values and sentences, the paper's rows, notes, groups."""
    table = make_answers()
    write_table(table, tmp_path)
    found = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert list(found) == [
        *("title", "benchmarks", "varied", "lines", "differences", "published", "notes", "groups"),
    ]
    assert found["varied"] == ["selection.answers"]
    assert [line["base"] for line in found["lines"]] == [True, False, False, False]
    line = found["lines"][1]
    assert line["scores"] == table.lines[1].scores
    assert list(line["means"]["tiny-eval"]["by_seed"]) == ["0", "1", "2", "3", "4"]
    difference = found["differences"][0]
    assert {"first", "second", "tasks_p", "seeds_p", "corrected", "family", "inside_noise", "sentence"} < set(
        difference
    )
    assert difference["estimate"]["mean"] == pytest.approx(
        found["lines"][2]["means"]["tiny-eval"]["mean"] - line["means"]["tiny-eval"]["mean"]
    )
    assert found["published"]["table"] == 9
    assert found["published"]["rows"][0]["lines"] == ["selection.answers=passed"]


def test_the_json_has_no_nan(tmp_path: Path) -> None:
    """NaN is no JSON; a task without a score is null."""
    scores = [{**scores, "task/3": math.nan} for scores in make_scores(0, 2)]
    write_table(ExperimentTable(title="t", lines=[Line(name="a", varied={"k": 1}, scores={"b": scores})]), tmp_path)
    found = json.loads((tmp_path / "table.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert found["lines"][0]["scores"]["b"][0]["task/3"] is None


def test_the_markdown_shows_names_as_they_are(tmp_path: Path) -> None:
    """Bars and markup of names are escaped: every row has the columns of the head."""
    write_table(make_many(), tmp_path)
    page = (tmp_path / "table.md").read_text("utf-8")
    assert "<script>" not in page
    assert "<b>" not in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table[:33]}
    assert len(widths) == 1
    assert "465 pairs were compared" in page
    assert page.count(" points above ") + page.count(" points below ") <= 30


@pytest.mark.parametrize("make", [make_answers, make_grid, make_many])
@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_is_wide_enough(make, width: int) -> None:
    """No line is longer than the terminal, nothing is cut off, every arm is there."""
    table = make()
    text = drawn(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    packed = re.sub(r"[\s│]", "", text)
    for line in table.lines[:3]:
        assert re.sub(r"\s", "", line.name)[:25] in packed


def test_many_columns_are_shown_in_several_tables() -> None:
    """Facts and benchmarks that have no room go into further tables; none is lost."""
    names = [f"benchmark-{number}" for number in range(8)]
    facts = {f"a heading of some length {number}": f"{number} %" for number in range(5)}
    line = Line(
        name="arm" * 20,
        varied={"k": 1},
        facts=facts,
        tokens=1234567,
        scores={name: make_scores(0, 2) for name in names},
    )
    text = drawn(ExperimentTable(title="[bold]wide[/bold]", lines=[line]))
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]wide[/bold]" in text
    assert all(name in text for name in names)
    assert "1,234,567" in text


def test_one_arm_and_a_missing_benchmark_are_a_table(tmp_path: Path) -> None:
    """Without a pair there is no difference; a line without a score has a dash."""
    alone = ExperimentTable(title="one", lines=[make_arm("a", 0, k=1)])
    write_table(alone, tmp_path)
    assert "Differences" not in (tmp_path / "table.md").read_text("utf-8")
    assert "Differences" not in drawn(alone)
    other = Line(name="b", varied={"k": 2}, scores={"other": make_scores(0, 2)})
    text = drawn(ExperimentTable(title="two", lines=[make_base(), make_arm("a", 0, k=1), other]))
    assert re.search(r"│ b +│ +– │ +\d", text)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    """A file where the folder should be: one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot make the folder"):
        write_table(make_answers(), tmp_path / "file")
