"""What a user sees of long work: bars on a terminal, lines in a log, from one protocol."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.text import Text

from selfcodealign.progress import Progress
from selfcodealign.progress.tally import clock
from selfcodealign.progress.terminal import Drawer, Lines, Live, open_progress
from tests.support.clock import Clock
from tests.support.places import ROOT
from tests.support.screen import show


@pytest.fixture
def lines() -> Lines:
    """A log, 80 columns wide."""
    return Lines(Console(file=io.StringIO(), width=80))


def written(drawer: Drawer) -> list[str]:
    return drawer.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def terminal(width: int = 80) -> Live:
    return Live(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width))


def frame(live: Live) -> list[str]:
    """Return the bars that are on the screen now."""
    console = Console(file=io.StringIO(), width=live.console.width)
    console.print(live.draw())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_lines_say_how_far_how_fast_and_how_long(lines: Lines, wall: Clock) -> None:
    """A line shows done/total, rates since the task began, share kept, the most frequent drops and the time left."""
    lines.tokens = lambda: (1000, 500)
    lines.start("responses", 200)
    lines.tokens = lambda: (9000, 1500)
    wall.now += 20
    lines.advance("responses", 50, kept=5, dropped=["failed"] * 7 + ["timeout"] * 4 + ["error"] * 3 + ["memory"])
    wall.now += 2
    lines.finish("responses", "200 in, 5 kept")
    assert written(lines) == [
        "responses: 200 rows to go through",
        "responses: 50/200, 2.5 rows/s, 25% kept, 50 tokens/s, failed 7, timeout 4, error 3, 1:00 left",
        "responses: 200 in, 5 kept (0:22)",
    ]


def test_lines_are_written_now_and_then(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that ends at once writes how it began and ended; a line in between comes when it is due."""
    lines.start("seeds", None)
    for _ in range(100):
        lines.advance("seeds", kept=1)
    monkeypatch.setattr("selfcodealign.progress.tally.LINE_SECONDS", 0.0)
    lines.skip("seeds")
    monkeypatch.undo()
    lines.advance("seeds")
    lines.finish("seeds")
    first, between, last = written(lines)
    assert first == "seeds: under way"
    assert between.startswith("seeds: 101 rows, ")
    assert last == "seeds: done (0:00)"


def test_tasks_under_way_at_once_have_lines_of_their_own(lines: Lines, wall: Clock) -> None:
    """Each task has its own count, rate, unit and pace."""
    lines.start("concepts", 10)
    wall.now += 8
    lines.start("base: tiny-eval, asking", 100, "answers")
    wall.now += 8
    lines.advance("concepts", 4)
    lines.advance("base: tiny-eval, asking", 40)
    wall.now += 2
    lines.advance("base: tiny-eval, asking", 10)
    lines.finish("concepts", "10 in, 10 kept")
    assert written(lines) == [
        "concepts: 10 rows to go through",
        "base: tiny-eval, asking: 100 answers to go through",
        "concepts: 4/10, 0.2 rows/s, 0:24 left",
        "base: tiny-eval, asking: 50/100, 5.0 answers/s, 0:10 left",
        "concepts: 10 in, 10 kept (0:18)",
    ]


def test_the_time_left_is_known_only_when_it_is_sane(lines: Lines, wall: Clock) -> None:
    """No total or hardly a unit: no estimate; units of an earlier run do not make the rate look better."""
    lines.start("seeds", None)
    wall.now += 10
    lines.advance("seeds")
    lines.start("concepts", 100)
    wall.now += 10
    lines.skip("concepts", 50)
    wall.now += 10
    lines.advance("concepts")
    lines.expect("concepts", 65)
    wall.now += 10
    lines.advance("concepts", 4)
    assert [line for line in written(lines) if "go through" not in line and "under way" not in line] == [
        "seeds: 1 row, 0.1 rows/s",
        "concepts: 50/100",
        "concepts: 51/100, 0.1 rows/s",
        "concepts: 55/65, 0.2 rows/s, 1:00 left",
    ]


def test_the_time_left_is_that_of_the_last_minute(lines: Lines, wall: Clock) -> None:
    """A slow beginning is forgotten, but never the last twenty units."""
    lines.start("concepts", 1000)
    for seconds in [100] + [1] * 99:
        wall.now += seconds
        lines.advance("concepts")
    wall.now += 1
    lines.advance("concepts", 0)
    assert written(lines)[-1] == "concepts: 100/1000, 0.5 rows/s, 15:15 left"


def test_a_stage_does_not_end_before_the_one_that_feeds_it(lines: Lines, wall: Clock) -> None:
    """Of stages that give each other rows, the later one shows no less time, and none while the other has none."""
    lines.journey(["seeds", "concepts", "responses"])
    lines.reach(["concepts", "responses"])
    lines.start("concepts", 100)
    wall.now += 10
    lines.start("responses", 20)
    lines.advance("concepts", 4)
    wall.now += 10
    lines.advance("responses", 10)
    lines.advance("concepts", 6)
    wall.now += 10
    lines.advance("responses", 0)
    lines.finish("concepts")
    wall.now += 10
    lines.advance("responses", 0)
    told = [line.rpartition(", ")[2] for line in written(lines) if line.startswith("responses: 1")]
    assert told == ["1.0 rows/s", "4:30 left", "0:30 left"]


def test_facts_stand_in_the_place_of_rates_until_others_come(lines: Lines, wall: Clock) -> None:
    """A training shows its own facts, and the time left."""
    lines.start("training", 10, "steps")
    wall.now += 10
    lines.advance("training", facts="loss 2.0 [nats]")
    wall.now += 10
    lines.advance("training")
    assert written(lines)[1:] == [
        "training: 1/10, loss 2.0 [nats]",
        "training: 2/10, loss 2.0 [nats], 1:20 left",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_count_and_time_left_are_seen_at_every_width(width: int, wall: Clock) -> None:
    """Several bars at once, one row each; the facts are what a narrow terminal cuts off."""
    live = terminal(width)
    live.start("responses", 20_000)
    live.start("selection", None)
    live.start("training", 500, "steps")
    wall.now += 3600
    live.skip("responses", 5000)
    live.advance("responses", 1000, kept=350, dropped=["failed"] * 500 + ["timeout"] * 149 + ["no_code"])
    live.advance("training", 250, facts="epoch 0.50, loss 1.2 [x], 900 tokens/s, and whatever else there is to say")
    responses, selection, training = frame(live)
    for row in (responses, selection, training):
        assert len(row) <= width
        assert "━━" in row
        assert " 1:00:00 " in f"{row} "
    assert "6000/20000" in responses
    assert "14:00:00 left" in responses
    assert "0.3 row" in responses
    assert "250/500" in training
    assert "1:00:00 left" in training
    assert "epoch 0" in training
    assert "left" not in selection
    assert ("failed 500" in responses) == ("900 tokens/s" in training) == (width > 80)


def test_a_long_name_leaves_the_figures_in_sight(wall: Clock) -> None:
    """Facts go first, then the end of the name."""
    live = terminal()
    live.start("a model with a very long name on a benchmark with a long one: asking", 164, "answers")
    wall.now += 100
    live.advance("a model with a very long name on a benchmark with a long one: asking", 82)
    (row,) = frame(live)
    assert row.startswith("a model with a very long")
    for part in ("━━", "82/164", "1:40", "1:40 left"):
        assert part in row


def test_a_finished_task_is_one_line_above_the_bars(wall: Clock) -> None:
    """The bar disappears; the summary and all messages stay; text is never parsed as markup."""
    live = terminal()
    with live:
        live.start("concepts", 2)
        live.start("instructions", None)
        live.advance("concepts", 2, kept=2)
        live.say("settings have [changed]")
        live.show(Text("a picture"))
        wall.now += 5
        live.finish("concepts", "2 in, 2 kept; dropped: [odd] 1")
        assert [row.split()[0] for row in frame(live)] == ["instructions"]
        live.finish("instructions")
        assert frame(live) == []
    shown = "\n".join(written(live))
    for text in (
        "settings have [changed]\n",
        "a picture\n",
        "concepts: 2 in, 2 kept; dropped: [odd] 1 (0:05)\n",
        "instructions: done (0:05)\n",
    ):
        assert text in shown


def test_a_log_has_the_whole_line_that_a_terminal_shortens(caplog: pytest.LogCaptureFixture) -> None:
    """On the screen the last reasons go, never half of a number; the log loses nothing."""
    live = terminal()
    summary = "40 in, 2 kept; dropped: " + ", ".join(f"reason_{number} 1{number}" for number in range(20))
    with caplog.at_level("INFO", "selfcodealign.said"), live:
        live.start("responses", 40)
        live.finish("responses", summary)
    assert caplog.messages == [f"responses: {summary} (0:00)"]
    assert "reason_1 11, … (0:00)" in "".join(written(live))


def test_work_that_stops_leaves_no_bar() -> None:
    """What is said about an error is the last on the screen."""
    code = (
        "from selfcodealign.errors import UserError\nfrom selfcodealign.progress.terminal import open_progress\n"
        "from selfcodealign.progress.log import open_log, report_error\nopen_log()\n"
        "try:\n    with open_progress() as progress:\n        progress.start('concepts', 9)\n"
        "        progress.advance('concepts', 4)\n        raise UserError('words ' * 30 + 'and the end')\n"
        "except UserError as error:\n    report_error(str(error))\n"
    )
    shown = show([sys.executable, "-c", code], cwd=ROOT).screen.text().splitlines()
    assert "4/9" not in "".join(shown)
    assert [line.split()[-1] for line in shown] == ["words", "words", "end"]
    assert all(len(line) <= 80 for line in shown)


def test_a_task_that_was_never_started_is_a_mistake(lines: Lines) -> None:
    """A call that breaks the protocol raises an error."""
    with pytest.raises(KeyError):
        lines.advance("concepts")


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress goes to stderr and leaves stdout to results."""
    with open_progress() as progress:
        progress.say("a word")
    assert isinstance(progress, Lines)
    assert capsys.readouterr() == ("", "a word\n")


def test_the_protocol_itself_keeps_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """Work can run without a drawer."""
    silent = Progress()
    silent.start("concepts", 3)
    silent.expect("concepts", 4)
    silent.skip("concepts")
    silent.advance("concepts", 3, kept=1, dropped=["x"], facts="y")
    silent.finish("concepts", "z")
    silent.say("a")
    silent.show(Text("b"))
    assert silent.tokens() == (0, 0)
    assert silent.activity() == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (750, "12:30"), (3723, "1:02:03")])
def test_a_span_of_time_is_short(seconds: float, text: str) -> None:
    """Hours only where there are any."""
    assert clock(seconds) == text
