"""What a pilot says of larger runs holds for 9 of 10 of them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.plan import CASES, coverage, simulate
from selfcodealign.experiments.forecast.outlook import look_ahead
from selfcodealign.settings import PriceSettings


@pytest.mark.parametrize("case", CASES)
def test_nine_of_ten_larger_runs_lie_within_the_intervals(case: str) -> None:
    """Examples, tokens and seconds of programs of simulated runs of 500 seeds, by pilots of 50."""
    shares = coverage(CASES[case], 500, 40)
    assert min(shares.values()) >= 0.85  # 0.9 and more of many; these are 40
    assert np.mean(list(shares.values())) >= 0.9


def test_seeds_for_examples_are_those_that_give_them() -> None:
    """A run of the expected seeds is expected to give the examples."""
    pilot = simulate(50, np.random.default_rng(1), passing=(2.0, 2.0))
    need = look_ahead(pilot, PriceSettings(), examples=2000).seeds
    given = look_ahead(pilot, PriceSettings(), seeds=round(need.expected)).examples
    assert given.expected == pytest.approx(2000, rel=0.01)
    assert need.low < need.expected < need.high


def test_a_pilot_without_an_example_gives_an_upper_bound() -> None:
    """Nothing in fifty seeds is not nothing ever; the notes say so."""
    pilot = simulate(50, np.random.default_rng(1), passing=(0.001, 1000.0))
    found = look_ahead(pilot, PriceSettings(prompt_tokens=1.0), seeds=1000)
    assert (found.examples.expected, found.examples.low) == (0.0, 0.0)
    assert found.examples.high > 10
    assert found.money is not None
    assert any("No seed of the pilot gave an example" in note for note in found.notes)
