"""What a person sees while a run works: lines in a log, with rates, the share kept and the time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from selfcodealign.progress.terminal import Lines, Live, summarise
from selfcodealign.rows import Dropped
from selfcodealign.run_folder.folder import Books
from tests.support.rows import make_seed


def drop(reason: str) -> Dropped:
    return Dropped(parent="00", reason=reason, detail="", row={})


def test_lines_say_how_far_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of a stage at work names done/total, rates, share kept, tokens and the commonest drops."""
    written: list[str] = []
    lines = Lines(written.append)
    lines.tokens = lambda: (1000, 500 if written else 0)
    lines.start("responses", 10)
    lines.began -= 100.0
    monkeypatch.setattr("selfcodealign.progress.pace.LINE_SECONDS", 0.0)
    lines.skip()
    lines.advance([make_seed(1), drop("failed"), drop("failed"), drop("timeout")])
    lines.finish("responses", Books(10, 1, {"failed": 2, "timeout": 1}))
    assert written[0] == "responses: 10 rows to go through"
    for part in ("responses: 2/10", "25% kept", "5 tokens/s", "failed 2, timeout 1", "left"):
        assert part in written[1]
    assert written[2].startswith("responses: 10 in, 1 kept; dropped: failed 2, timeout 1")


def test_the_time_left_is_known_only_when_the_end_is() -> None:
    """No total, no estimate; rows of an earlier run do not make the rate look better."""
    lines = Lines(lambda text: None)
    lines.start("seeds", None)
    lines.advance([drop("x")])
    assert lines.seconds_left() is None
    lines.start("concepts", 100)
    assert lines.seconds_left() is None
    for _ in range(50):
        lines.skip()
    lines.began -= 10.0
    lines.advance([drop("x")])
    left = lines.seconds_left()
    assert left is not None
    assert 480 < left < 520


def test_a_terminal_gets_bars_and_lines_above_them() -> None:
    """Bars are drawn for each stage, what is said stays above, and other displays may take over for a while."""
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with Live(console) as live:
        live.start("concepts", 2)
        live.advance([make_seed(1)])
        live.say("settings have [changed]")
        with live.at_rest():
            pass
        live.finish("concepts", Books(2, 2))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "concepts" in text
    assert "settings have [changed]" in text
    assert "2 in, 2 kept" in text


def test_a_summary_without_drops_is_short() -> None:
    """Nothing is said about drops where there were none."""
    assert summarise(Books(3, 3)) == "3 in, 3 kept"
