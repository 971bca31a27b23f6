"""Waves keep what drawing one after the other keeps, whatever begins when; and stop early where that is wanted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.generation.odds import Odds
from selfcodealign.generation.waves import Waves
from tests.support.virtual_time import run_in_virtual_time

PASSED, FAILED, TOO_LONG = "passed", "failed", "too long"


@dataclass
class Instruction:
    """What the samples of an instruction will be, and how long each takes; what was begun and what came to its end."""

    verdicts: list[str]
    seconds: list[float]
    begun: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    async def sample(self, number: int) -> tuple[int, str]:
        self.begun.append(number)
        await asyncio.sleep(self.seconds[number])
        self.ended.append(number)
        return number, self.verdicts[number]

    def one_after_the_other(self, wanted: int) -> list[tuple[int, str]]:
        """What is kept when each sample waits for the verdict on the one before."""
        kept: list[tuple[int, str]] = []
        for one in enumerate(self.verdicts):
            kept.append(one)
            if one[1] == TOO_LONG or sum(verdict == PASSED for _, verdict in kept) == wanted:
                break
        return kept


def is_passed(one: tuple[int, str]) -> bool:
    return one[1] == PASSED


def is_too_long(one: tuple[int, str]) -> bool:
    return one[1] == TOO_LONG


async def draw(waves: Waves[tuple[int, str]], one: Instruction) -> list[tuple[int, str]]:
    drawn = await waves.draw(one.sample, is_passed, is_too_long)
    assert not drawn.given_up
    # A sample may be broken off before it has asked for anything.
    assert drawn.unneeded >= len(one.begun) - len(drawn.kept)
    return drawn.kept


#: Of each sample: what becomes of it, and its seconds.
SAMPLES = st.tuples(st.sampled_from([PASSED, FAILED, FAILED, TOO_LONG]), st.sampled_from([0.0, 1.0, 2.0, 50.0]))


@settings(deadline=None)
@given(
    tables=st.lists(st.lists(SAMPLES, min_size=6, max_size=6), min_size=1, max_size=5),
    wanted=st.integers(1, 4),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    room=st.integers(0, 9),
)
def test_what_is_kept_depends_on_the_verdicts_alone(
    tables: list[list[tuple[str, float]]], wanted: int, shares: tuple[float, float], room: int
) -> None:
    """Any waves, any times, any number of passes, several instructions at once: the kept samples are those that one
    after the other gives, and no sample is begun twice or left behind."""
    instructions = [Instruction([one for one, _ in table], [two for _, two in table]) for table in tables]

    async def run() -> list[list[tuple[int, str]]]:
        waves: Waves[tuple[int, str]] = Waves(6, wanted, room=lambda: room, shares=shares)
        kept = await asyncio.gather(*(draw(waves, one) for one in instructions))
        assert len(asyncio.all_tasks()) == 1
        assert sum(begun for begun, _ in waves.waves.values()) >= sum(len(one.begun) for one in instructions)
        return kept

    kept, _ = run_in_virtual_time(run())
    for one, own in zip(instructions, kept, strict=True):
        assert own == one.one_after_the_other(wanted)
        assert one.begun == list(range(len(one.begun)))


def test_what_is_not_needed_is_broken_off_at_once() -> None:
    """A sample above the first pass is cancelled when that pass is known; a lower one is waited for."""
    one = Instruction([FAILED, PASSED, PASSED, PASSED], [30.0, 1.0, 0.5, 500.0])
    waves: Waves[tuple[int, str]] = Waves(4, 1, shares=(1.0, 1.0))
    kept, seconds = run_in_virtual_time(draw(waves, one))
    assert kept == [(0, FAILED), (1, PASSED)]
    assert (one.begun, one.ended, seconds) == ([0, 1, 2, 3], [2, 1, 0], 30.0)


def test_the_first_samples_come_one_by_one_and_hard_instructions_in_larger_waves() -> None:
    """While nothing is known a sample waits for the one before; where one in a hundred passes, many begin at once."""
    waves: Waves[tuple[int, str]] = Waves(10, 1)
    hard = [Instruction([FAILED] * 10, [1.0] * 10) for _ in range(40)]
    _, first = run_in_virtual_time(draw(waves, hard[0]))
    assert first > 5
    for one in hard[1:]:
        run_in_virtual_time(draw(waves, one))
    last = Instruction([FAILED] * 10, [1.0] * 10)
    _, later = run_in_virtual_time(draw(waves, last))
    assert later <= 2


def test_room_is_filled_with_samples_that_are_likely_needed() -> None:
    """A model with room gets further samples of an instruction that waits for a verdict, within a share of waste."""

    def seconds(room: Callable[[], int]) -> float:
        waves: Waves[tuple[int, str]] = Waves(8, 1, room=room)
        quick = Instruction([PASSED] * 8, [0.5] * 8)
        slow = Instruction([FAILED] * 7 + [PASSED], [10.0] * 8)

        async def both() -> None:
            await asyncio.gather(draw(waves, slow), draw(waves, quick))

        return run_in_virtual_time(both())[1]

    assert seconds(lambda: 8) < seconds(lambda: 0)


def test_samples_belong_to_their_instruction_whoever_begins_them() -> None:
    """The verdict on one instruction may begin a sample of another: the answer is kept for that other one."""
    owner, seen = ContextVar("owner", default=""), set[tuple[str, str]]()
    waves: Waves[tuple[int, str]] = Waves(8, 1, room=lambda: 8)

    async def one(name: str, seconds: float) -> None:
        async def sample(number: int) -> tuple[int, str]:
            seen.add((name, owner.get()))
            begun[name] += 1
            await asyncio.sleep(seconds)
            return number, FAILED

        owner.set(name)
        await waves.draw(sample, is_passed, is_too_long)

    begun = {"quick": 0, "slow": 0}

    async def both() -> None:
        await asyncio.gather(one("slow", 100), one("quick", 1))

    run_in_virtual_time(both())
    assert begun == {"quick": 8, "slow": 8}
    assert seen == {("quick", "quick"), ("slow", "slow")}


def test_an_error_ends_all_samples() -> None:
    """What a sample raises is raised, and the others are cancelled."""
    ended: list[int] = []

    async def sample(number: int) -> tuple[int, str]:
        await asyncio.sleep(1.0 + number)
        if number == 1:
            raise OSError("the server is gone")
        ended.append(number)
        return number, FAILED

    async def run() -> None:
        waves: Waves[tuple[int, str]] = Waves(5, 1, shares=(1.0, 1.0))
        with pytest.raises(OSError, match="the server is gone"):
            await waves.draw(sample, is_passed, is_too_long)
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(run())
    assert ended == [0]


def test_hopeless_instructions_are_given_up_only_when_asked() -> None:
    """Where hardly any instruction passes late, one that has failed often ends before all samples are drawn."""

    def teach(give_up: float) -> int:
        waves: Waves[tuple[int, str]] = Waves(20, 1, give_up=give_up, shares=(0.0, 0.0))
        begun = 0
        for number in range(100):
            verdicts = [PASSED if number % 2 else FAILED] * 20
            one = Instruction(verdicts, [1.0] * 20)
            drawn, _ = run_in_virtual_time(waves.draw(one.sample, is_passed, is_too_long))
            assert drawn.given_up == (len(drawn.kept) < 20 and not number % 2)
            begun = max(begun, len(one.begun)) if number > 60 else 0
        return begun

    assert teach(0.0) == 20
    assert 1 < teach(0.2) < 12


def test_the_odds_are_those_of_the_instructions() -> None:
    """Fitted to instructions whose sampling was stopped, the distribution tells chances that have not been seen."""
    rng = random.Random(1)
    odds = Odds()
    for _ in range(3000):
        chance, failures = rng.betavariate(0.8, 2.4), 0
        while failures < 10:
            passed = rng.random() < chance
            odds.note(0, failures, passed)
            if passed:
                break
            failures += 1
    chances = [random.Random(number).betavariate(0.8, 2.4) for number in range(4000)]
    for failures, draws in ((0, 1), (0, 5), (4, 3), (9, 10)):
        weights = [(1 - one) ** failures for one in chances]
        true = sum(w * (1 - one) ** draws for w, one in zip(weights, chances, strict=True)) / sum(weights)
        assert odds.chance_of_fewer(1, draws, 0, failures) == pytest.approx(true, abs=0.05)


def test_chances_of_several_passes_are_those_of_the_beta_binomial() -> None:
    """With an even distribution, each number of passes is equally likely."""
    for wanted in range(1, 7):
        assert Odds().chance_of_fewer(wanted, 5, 0, 0) == pytest.approx(wanted / 6)


def test_the_first_verified_answer_is_a_random_verified_answer() -> None:
    """Waves that stop at the first pass choose answers with the distribution of one chosen at random among the passes
    of all n: as often none, and else each answer as often, for instructions of different chances drawn together."""
    samples, rounds, rng = 4, 1500, random.Random(1)
    waves: Waves[int] = Waves(samples, 1, shares=(0.3, 0.3))

    async def choose_first(weights: list[float]) -> int | None:
        texts = rng.choices(range(6), weights, k=samples)

        async def sample(number: int) -> int:
            await asyncio.sleep(rng.lognormvariate(0.0, 1.0) * (1 + texts[number]))  # some texts take longer
            return texts[number]

        drawn = await waves.draw(sample, lambda text: text < 4, lambda text: False)
        return next((text for text in drawn.kept if text < 4), None)

    def choose_among_all(weights: list[float]) -> int | None:
        passes = [text for text in rng.choices(range(6), weights, k=samples) if text < 4]
        return rng.choice(passes) if passes else None

    async def run() -> None:
        # An answer is one of six texts; the first four pass, with different likelihood.
        tables = [[p * 0.5, p * 0.3, p * 0.15, p * 0.05, (1 - p) * 0.6, (1 - p) * 0.4] for p in (0.15, 0.4, 0.7)]
        first: list[Counter[int | None]] = [Counter() for _ in tables]
        among: list[Counter[int | None]] = [Counter() for _ in tables]
        for _ in range(rounds):
            first_ones = await asyncio.gather(*(choose_first(weights) for weights in tables))
            for number, one in enumerate(first_ones):
                first[number][one] += 1
                among[number][choose_among_all(tables[number])] += 1
        for one, other, weights in zip(first, among, tables, strict=True):
            # 99.9 % quantiles of chi-square with 4 and 3 degrees of freedom.
            assert chi_square([[found[text] for text in (None, 0, 1, 2, 3)] for found in (one, other)]) < 18.47
            # The chosen ones are in proportion to what was put in.
            assert chi_square([[one[text] for text in range(4)], [round(10**9 * weights[t]) for t in range(4)]]) < 16.27

    run_in_virtual_time(run())


def chi_square(table: list[list[int]]) -> float:
    """Pearson's statistic of independence."""
    rows, columns = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]
    total = sum(rows)
    return sum(
        (number - rows[i] * columns[j] / total) ** 2 / (rows[i] * columns[j] / total)
        for i, row in enumerate(table)
        for j, number in enumerate(row)
    )
