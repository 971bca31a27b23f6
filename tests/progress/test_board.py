"""The journey on a terminal: a line for each stage, in columns that stay where they are, at every size."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from selfcodealign.models.usage import Usage
from selfcodealign.progress.terminal import Live
from tests.support.clock import Clock

STAGES = ["seeds", "decontamination", "concepts", "instructions", "responses", "selection", "dataset", "train"]


def terminal(width: int = 80, height: int = 40) -> Live:
    return Live(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height))


def frame(live: Live) -> list[str]:
    """Return the lines that are on the screen now."""
    console = Console(file=io.StringIO(), width=live.console.width, height=live.console.height)
    console.print(live.draw())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def written(live: Live) -> list[str]:
    return live.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def begin(live: Live, wall: Clock) -> dict[str, Usage]:
    """Go as far as the middle of a run; return what its model was asked, which the test may change."""
    asked = {"concepts": Usage(40, 6_600, 6_600, 1_650, 300)}
    live.asked = lambda: asked
    live.journey(STAGES)
    live.start("seeds", None)
    live.advance("seeds", 842, kept=384, dropped=["no_docstring"] * 458)
    wall.now += 13
    live.count_rows("seeds", 842, 384)
    live.finish("seeds", "842 files in, 384 seeds kept")
    live.rest("decontamination")
    live.count_rows("decontamination", 384, 380)
    live.reach(["concepts", "instructions", "responses"])
    live.start("concepts", 380)
    live.start("instructions", 380)
    wall.now += 10
    live.advance("concepts", 38, kept=30, dropped=["unparsed"] * 8)
    live.advance("instructions", 10, kept=20)
    live.foresee("responses", 600)
    return asked


def test_every_stage_has_a_line(wall: Clock) -> None:
    """Finished, rested, at work and ahead, in the order of the journey, and the totals."""
    live = terminal()
    asked = begin(live, wall)
    frame(live)
    asked["concepts"] = Usage(60, 13_200, 13_200, 8_580, 1_300)
    wall.now += 10
    assert frame(live) == [
        "  stage                           rows   rate       kept cached tok/s       time",
        "✓ seeds                            842           384 46%                    0:13",
        "✓ decontamination                  384           380 99%                 earlier",
        "▸ concepts        ╸───────      38/380  1.9/s     30 79%    65%   100  3:00 left",
        "▸ instructions    ────────      10/380  0.5/s    20 100%                    0:20",
        "· responses                       ~600                                          ",
        "· selection                                                                     ",
        "· dataset                                                                       ",
        "· train                                                                         ",
        "stages 3–4 of 8, 0:33 so far, 14500 tokens asked, 65% cached",
    ]


def test_the_time_left_is_that_of_what_is_known(wall: Clock) -> None:
    """Stages ahead take more time: "over"; at the last stage there is none."""
    live = terminal()
    live.journey(["seeds", "selection"])
    live.start("seeds", 20)
    wall.now += 10
    live.advance("seeds", 5, kept=5)
    assert frame(live)[-1] == "stage 1 of 2, 0:10 so far, over 0:30 left"
    live.finish("seeds")
    live.start("selection", 20)
    wall.now += 10
    live.advance("selection", 10, kept=5)
    assert frame(live)[-1] == "stage 2 of 2, 0:20 so far, 0:10 left"


def test_a_budget_has_its_own_line(wall: Clock) -> None:
    """Below the totals, however wide they are."""
    live = terminal()
    begin(live, wall)
    live.budget = lambda: "budget: 42 % of 1,000,000 tokens, 2:10 to it"
    assert frame(live)[-1] == "budget: 42 % of 1,000,000 tokens, 2:10 to it"
    assert frame(live)[-2].startswith("stages 3–4 of 8")


def test_what_the_model_does_is_told_until_rows_end(wall: Clock) -> None:
    """In the place of the figures that are not there yet."""
    live = terminal()
    live.activity = lambda: "reading 12 prompts, 31,000 tokens"
    live.journey(["concepts", "dataset"])
    live.start("concepts", 40)
    wall.now += 3
    assert frame(live)[1].split("0/40 ")[1].strip() == "reading 12 prompts, 31,000 tokens"
    live.advance("concepts", kept=1)
    assert "reading" not in frame(live)[1]


def test_parts_of_stages_are_bars_below(wall: Clock) -> None:
    """Nothing above them moves; the line of a stage without rows has its time, then its summary."""
    live = terminal()
    live.journey(["dataset", "evaluate"])
    live.start("evaluate", None)
    wall.now += 5
    before = frame(live)
    live.start("base: tiny-eval, asking", 200, "answers")
    wall.now += 10
    live.advance("base: tiny-eval, asking", 50)
    after = frame(live)
    assert [line[:20] for line in after[:3]] == [line[:20] for line in before[:3]]
    assert after[-1].split() == [
        "base:",
        "tiny-eval,",
        "asking",
        "━━━",
        "50/200",
        "0:10",
        "0:30",
        "left",
        "5.0",
        "answers/s",
    ]
    live.finish("base: tiny-eval, asking")
    live.finish("evaluate", "three models on tiny-eval")
    assert frame(live)[2].split() == ["✓", "evaluate", "three", "models", "on", "tiny-eval", "0:15"]


@pytest.mark.parametrize("height", [40, 12, 8])
@pytest.mark.parametrize("width", [120, 80, 60, 40])
def test_a_frame_fits_its_terminal(width: int, height: int, wall: Clock) -> None:
    """No line is cut by the terminal; where there is no room for all stages, those at work stay."""
    live = terminal(width, height)
    asked = begin(live, wall)
    live.budget = lambda: "budget: 42 % of 1,000,000 tokens, 2:10 to it, and whatever else there may be to be said"
    live.start("decontamination: grouping", 10, "bands")
    asked["concepts"] = Usage(10**6, 5 * 10**9, 4 * 10**9, 10**9, 10**8)
    wall.now += 400_000
    live.advance("concepts", 10**6, kept=12_345_678, dropped=["reason"] * 3)
    live.expect("concepts", 123_456_789)
    shown = frame(live)
    assert len(shown) < height
    assert max(map(cell_len, shown)) <= width
    assert all(any(line.startswith(f"▸ {name}") for line in shown) for name in ("concepts", "instructions"))
    assert ("▸ concepts" in shown[3]) == (height == 40)
    if height == 12:
        assert [line[:16].rstrip() for line in shown if line[0] in "✓·"] == ["✓ 2 finished", "· 4 ahead"]


def test_names_and_summaries_of_any_kind_keep_the_columns(wall: Clock) -> None:
    """Long and wide names are cut; a summary of several lines is one."""
    live = terminal()
    live.journey(["段階" * 20, "a_stage_with_a_name_that_never_seems_to_end", "dataset"])
    live.start("段階" * 20, 10)
    live.advance("段階" * 20, 4, kept=4)
    live.start("dataset", None)
    live.finish("dataset", "[red]two\nlines https://me:secret@host/x\x07")
    shown = frame(live)
    assert len(shown) == 5
    assert len({cell_len(line) for line in shown[:4]}) == 1
    assert "[red]two lines https://host/x" in shown[3]


def test_lines_of_finished_stages_come_at_the_end(wall: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Once, in order, above what follows; a log has them when they end, and whole."""
    live = terminal()
    reasons = "380 in, 30 kept; dropped: " + ", ".join(f"reason_{number} 1{number}" for number in range(20))
    with caplog.at_level("INFO", "selfcodealign.said"), live:
        begin(live, wall)
        live.finish("concepts", reasons)
        live.say("a message")
        assert caplog.messages[-2:] == [f"concepts: {reasons} (0:10)", "a message"]
        assert not any(line.startswith("concepts: ") for line in written(live))
        live.journey([])
        assert frame(live) == []
        live.say("the end")
    told = "\n".join(written(live))
    assert (
        told.count("seeds: 842 files in, 384 seeds kept (0:13)\nconcepts: 380 in, 30 kept; dropped: reason_0 10, ") == 1
    )
    assert told.index("a message\n") < told.index(", … (0:10)\n") < told.index("the end\n")


def test_a_stage_may_go_on_after_it_ended(wall: Clock) -> None:
    """Under a budget, rounds follow one another: the stage is at work again, and its times add up."""
    live = terminal()
    live.journey(["seeds", "dataset"])
    for seconds in (10, 20):
        live.start("seeds", 10)
        assert frame(live)[1].startswith("▸ seeds")
        wall.now += seconds
        live.count_rows("seeds", 10, 5)
        live.finish("seeds", "10 in, 5 kept")
    assert frame(live)[1].split() == ["✓", "seeds", "10", "5", "50%", "0:30"]
    live.journey([])
    assert written(live) == ["seeds: 10 in, 5 kept (0:30)"]
