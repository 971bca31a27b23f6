"""The table on a terminal of 80 columns, and its legend."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from selfcodealign.evaluation import Evaluation
from selfcodealign.evaluation.pass_at_k import estimate_interval
from selfcodealign.evaluation.scoring import Score
from selfcodealign.evaluation.table import footnotes, markdown_table, terminal_tables


def make_score(label: str, benchmark: str, passed: int, mode: str = "chat") -> Score:
    values = [1.0] * passed + [0.0] * (20 - passed)
    return Score(
        label=label,
        benchmark=benchmark,
        mode=mode,
        k=1,
        interval=estimate_interval(values),
        tasks=20,
        samples=1,
        not_judged=1,
        version="v1",
        md5="",
        values={str(number): value for number, value in enumerate(values)},
        asked=benchmark,
        answers=20,
    )


@pytest.mark.parametrize("width", [80, 100, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    """Long names wrap, intervals go below their scores, and columns that have no room go into a second table."""
    labels = ["org/a-very-long-model-name-with-parameters-7b (completion)", "runs/mine/tuned"]
    benchmarks = ["humaneval", "humaneval+", "mbpp", "mbpp+", "evoeval-difficult", "canitedit-descriptive"]
    modes = ["completion-unstripped", "chat"]
    scores = [
        make_score(label, name, 9, mode) for label, mode in zip(labels, modes, strict=True) for name in benchmarks
    ]
    evaluation = Evaluation(scores=scores, comparisons=[], notes=[])
    console = Console(width=width, file=io.StringIO())
    for table in terminal_tables(evaluation, width):
        console.print(table)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, drawn.splitlines())) <= width
    assert "…" not in drawn
    for name in benchmarks:
        assert drawn.count(f" {name} ") == 1
    assert drawn.count("45.0") == len(scores)
    assert markdown_table(evaluation).count("| 45.0 [") == len(scores)  # pages have room for one table


def test_the_legend_names_the_intervals_that_are_not_the_bootstraps() -> None:
    """All tasks right or wrong: Wilson's interval, which is not empty."""
    none, some = make_score("a", "humaneval", 0), make_score("b", "humaneval", 9)
    assert (none.interval.low, round(none.interval.high, 3)) == (0.0, 0.161)
    told = footnotes(Evaluation(scores=[none, some], comparisons=[], notes=[]))
    assert told[0] == "Where all tasks score the same the interval is Wilson's, not the bootstrap's: a on humaneval."
