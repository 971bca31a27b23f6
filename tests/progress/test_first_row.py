"""Progress before the first row ends, and the time left where rows of all lengths have a long common start."""

from __future__ import annotations

import heapq
import io
import math
from random import Random
from typing import Any

import pytest
from rich.console import Console

from selfcodealign.models import Completion, Sampling, UnderWay
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.scripted import ScriptedModel
from selfcodealign.pipeline import make_journey
from selfcodealign.progress.tally import Tally
from selfcodealign.progress.terminal import Lines, Live
from selfcodealign.recipe import load_recipe
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.stages.context import Context
from tests.support.clock import Clock
from tests.support.processes import wait_for


def lines() -> Lines:
    return Lines(Console(file=io.StringIO(), width=100))


def written(drawer: Lines) -> list[str]:
    return drawer.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


class Busy(ScriptedModel):
    """Says that it works on requests."""

    def __init__(self, state: UnderWay) -> None:
        super().__init__({"p": "text"})
        self.state = state

    def under_way(self) -> UnderWay:
        return self.state


async def test_tokens_under_way_count_and_the_activity_is_named(tmp_path: Any):
    """What is read and written now is added to what is finished; a model that is not open does nothing."""
    model = Busy(UnderWay(12, 31_000, 8_000, 0))
    recipe = load_recipe("quickstart")
    async with Context(recipe, make_journey(recipe).places, RunFolder(tmp_path / "run"), given_model=model) as context:
        assert context.describe_activity() == ""
        await context.model.open()
        assert context.describe_activity() == "reading 12 prompts, 8,000 of 31,000 tokens"
        assert context.count_tokens() == (8_000, 0)
        model.state = UnderWay(1, 31_000, 0, 40)
        assert context.describe_activity() == "reading 1 prompt, 31,000 tokens"
        assert context.count_tokens() == (0, 40)
        got = await context.model.complete("p", Sampling(), seed=0)
        assert isinstance(got, Completion)
        assert context.count_tokens() == (got.prompt_tokens, got.completion_tokens + 40)
        assert isinstance(context.model, OnDemandModel)


async def test_a_server_is_waited_for_by_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    """Its prompts are in its hands: only the requests are known."""
    recipe = load_recipe("quickstart", ['model.urls=["http://127.0.0.1:9"]', "model.name=m"])
    async with Context(recipe, make_journey(recipe).places, RunFolder(tmp_path / "run")) as context:
        monkeypatch.setattr(context.model, "under_way", lambda: UnderWay(40, 120_000))
        assert context.describe_activity() == "waiting for the server: 40 requests under way"


def test_a_log_has_a_sign_of_life_before_the_first_row(wall: Clock):
    """Once after a second, then every ten seconds: what the model does, then the tokens per second."""
    log = lines()
    log.activity = lambda: "reading 12 prompts, 31,000 tokens"
    log.start("concepts", 40)
    log.start("instructions", None)
    for _ in range(24):
        wall.now += 0.5
        log.tick()
    log.tokens, log.activity = (lambda: (0, 600)), lambda: "reading 1 prompt, 900 tokens"
    for _ in range(20):
        wall.now += 0.5
        log.tick()
    log.finish("concepts")
    assert written(log) == [
        "concepts: 40 rows to go through",
        "instructions: under way",
        "concepts: 0/40, reading 12 prompts, 31,000 tokens",
        "concepts: 0/40, reading 12 prompts, 31,000 tokens",
        "concepts: 0/40, 75 tokens/s",
        "concepts: done (0:22)",
    ]


def test_the_sign_of_life_comes_by_itself():
    """In a real log, although nothing calls the drawer."""
    log = lines()
    log.activity = lambda: "waiting for the server: 40 requests under way"
    with log:
        log.start("concepts", 40)
        assert wait_for(lambda: len(written(log)) > 1)
    assert written(log)[1] == "concepts: 0/40, waiting for the server: 40 requests under way"


def test_a_terminal_says_what_the_model_does(wall: Clock):
    """In the bar of the first task without a unit; tokens per second as soon as there are any."""
    live = Live(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120))

    def frame() -> list[str]:
        console = Console(file=io.StringIO(), width=120)
        console.print(live.draw())
        return console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    live.activity = lambda: "reading 12 prompts, 31,000 tokens"
    live.start("concepts", 40)
    live.start("instructions", None)
    assert ["reading 12 prompts" in row for row in frame()] == [True, False]
    wall.now += 100
    frame()
    live.tokens = lambda: (0, 500)
    wall.now += 5
    assert "100 tokens/s" in frame()[0]


def replay(wall: Clock, rows: int, slots: int, start: float, sigma: float, seed: int) -> list[float]:
    """Rows of lognormal lengths, the longest cut, `slots` at a time, after a common start without a token: the estimate
    divided by the truth at every end of a row from a tenth of the rows on, up to the last rows that are under way
    together."""
    random = Random(seed)

    def draw() -> float:
        return min(40.0, random.lognormvariate(math.log(10), sigma))

    tally = Tally("concepts", rows, "rows", 0, wall.now)
    began, end = wall.now, wall.now + start
    working = [end + draw() for _ in range(slots)]
    heapq.heapify(working)
    ends: list[float] = []
    for number in range(rows):
        ends.append(working[0])
        if number + slots < rows:
            heapq.heapreplace(working, working[0] + draw())
        else:
            heapq.heappop(working)
    ratios: list[float] = []
    for number, moment in enumerate(ends, 1):
        while wall.now < moment - 1:  # a drawer looks now and then
            wall.now += 1
            tally.note_tokens(max(0, round(100 * (wall.now - began - start))))
        wall.now = moment
        tally.advance(1)
        estimate = tally.left()
        if number < rows / 10:
            assert number >= 20 or estimate is None
        elif number <= rows - 2 * slots:
            assert estimate is not None
            ratios.append(estimate / (ends[-1] - moment))
    return ratios


@pytest.mark.parametrize("start", [0.0, 600.0])
@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0])
def test_the_time_left_is_right_within_a_factor_of_two(start: float, sigma: float, wall: Clock):
    """From a tenth of the rows on, nearly always; a start of ten minutes is charged to no row."""
    ratios = [ratio for seed in range(10) for ratio in replay(wall, 240, 16, start, sigma, seed)]
    assert sum(0.5 <= one <= 2 for one in ratios) >= 0.97 * len(ratios)


def test_a_long_start_that_tells_no_tokens_is_charged(wall: Clock):
    """Nothing tells when the work began; the start itself is forgotten after a minute of rows."""
    tally = Tally("concepts", 100, "rows", 0, wall.now)
    wall.now += 600
    for _ in range(10):
        wall.now += 6
        tally.advance(1)
    assert tally.left() == pytest.approx(90 * 66)
    for _ in range(30):
        wall.now += 6
        tally.advance(1)
    assert tally.left() == pytest.approx(60 * 6, rel=0.1)
