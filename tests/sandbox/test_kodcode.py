"""Agreement with verdicts that pytest gave to real, model-written programs."""

from __future__ import annotations

import gzip
import json

import pytest

from selfcodealign.sandbox import Limits, Program
from tests.support.judge import Judge
from tests.support.places import DATA

TRIALS = DATA / "kodcode" / "trials.jsonl.gz"
# Recorded as passing, but the tests bring their own copy of what they test; and the other way round, tests that import
# their response from a module of another name. docs/sandbox.md looks at each.
EXPLAINED = frozenset({113, 114, 144, 288, 619, 620, 621, 622, 623, 624})
# Recorded as failing because their text is no Python: prose around the code, which extraction leaves out.
EXPLAINED |= {6, 122, 214, 478}


def agreement(judge: Judge, every: int, seconds: float) -> tuple[int, set[int]]:
    """How many trials were run, and the numbers of those judged otherwise than recorded."""
    with gzip.open(TRIALS, "rt") as file:
        rows = list(enumerate(json.loads(line) for line in file))
    chosen = [(number, row) for number, row in rows if number % every == 0 or number in EXPLAINED]
    chosen = [(number, row) for number, row in chosen if every == 1 or "Timed Out" not in row["verdict"]]
    limits = Limits(seconds=seconds)
    verdicts = judge.all(
        [Program(row["solution"], row["test_code"], mutation_testing=False, limits=limits) for _, row in chosen]
    )
    otherwise = {
        n for (n, row), verdict in zip(chosen, verdicts, strict=True) if verdict.passed != (row["verdict"] == "Pass")
    }
    return len(chosen), otherwise


@pytest.mark.one_mode
@pytest.mark.skipif(not TRIALS.exists(), reason="the recorded trials do not lie beside the repository")
def test_a_sample_of_real_trials_is_judged_as_recorded(judge: Judge) -> None:
    """Every eleventh trial comes to its recorded verdict, but for the explained ones."""
    count, otherwise = agreement(judge, every=11, seconds=10)
    assert count > 60
    assert otherwise <= EXPLAINED


@pytest.mark.slow
@pytest.mark.skipif(not TRIALS.exists(), reason="the recorded trials do not lie beside the repository")
def test_all_real_trials_are_judged_as_recorded(judge: Judge) -> None:
    """98 % of all 753 trials agree, and every disagreement is a known one."""
    count, otherwise = agreement(judge, every=1, seconds=10)
    assert len(otherwise) / count <= 0.02
    assert otherwise <= EXPLAINED
