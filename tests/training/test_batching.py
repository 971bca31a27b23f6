"""Steps hold the same rows for every split of the work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.errors import TrainingError
from selfcodealign.training.batching import BatchPlan, plan_batches

LENGTHS = [3, 50, 7, 22, 9, 41, 5, 5, 18, 30, 2, 11]


def plan(micro_batch: int, processes: int = 1, batch: int = 8, seed: int = 0) -> BatchPlan:
    return BatchPlan(LENGTHS, batch, micro_batch, processes, seed)


@given(
    st.lists(st.integers(1, 1280), min_size=1, max_size=200),
    st.sampled_from([(1, 1), (8, 2), (8, 8), (12, 3), (64, 4)]),
    st.integers(0, 5),
)
def test_every_epoch_holds_every_row_once(lengths: list[int], split: tuple[int, int], epoch: int):
    """All steps are full; blank rows occur in the last step only."""
    batch, micro_batch = split
    made = BatchPlan(lengths, batch, micro_batch, 1, 0)
    steps = list(made.steps(epoch))
    assert [len(step) for step in steps] == [batch] * made.steps_per_epoch
    rows = [row for step in steps for row in step if row != made.blank]
    assert sorted(rows) == list(range(len(lengths)))
    assert all(made.blank not in step for step in steps[:-1])


def test_speed_settings_do_not_change_which_rows_make_a_step():
    """Micro-batch and processes reorder rows only within a step."""
    steps = [sorted(step) for step in plan(1).steps(0)]
    for other in (plan(2), plan(4), plan(8), plan(2, processes=2)):
        assert [sorted(step) for step in other.steps(0)] == steps


def test_seed_and_epoch_change_the_order_and_nothing_else_does():
    """The same seed and epoch give the same order; another of either gives another."""
    assert list(plan(2).steps(0)) == list(plan(2).steps(0))
    assert list(plan(2).steps(0)) != list(plan(2).steps(1))
    assert list(plan(2).steps(0)) != list(plan(2, seed=1).steps(0))


def test_forward_passes_of_a_step_hold_about_the_same_number_of_tokens():
    """The fullest pass exceeds the emptiest by no more than the longest row."""
    lengths = [(7 * i * i) % 300 + 20 for i in range(256)]
    for step in BatchPlan(lengths, 64, 8, 1, 0).steps(0):
        sums = [sum(lengths[row] for row in step[i : i + 8]) for i in range(0, 64, 8)]
        assert max(sums) - min(sums) <= max(lengths)


def test_micro_batch_is_chosen_to_fill_a_pass():
    """Short rows give large micro-batches, long rows small ones; the micro-batch divides the step."""
    assert plan_batches([20] * 9, batch=64, micro_batch=None, processes=1, seed=0, device="cpu").micro_batch == 64
    assert plan_batches([250] * 9, batch=64, micro_batch=None, processes=1, seed=0, device="cpu").micro_batch == 8
    assert plan_batches([3000] * 9, batch=64, micro_batch=None, processes=1, seed=0, device="cpu").micro_batch == 1
    assert plan_batches([200] * 9, batch=64, micro_batch=None, processes=4, seed=0, device="cuda").accumulation == 1


def test_uneven_splits_are_refused():
    """Rows per step that do not divide: the message names the setting and the numbers."""
    with pytest.raises(TrainingError, match="64 rows cannot be split evenly over 3 processes"):
        plan_batches([5], batch=64, micro_batch=None, processes=3, seed=0, device="cpu")
    with pytest.raises(TrainingError, match=r"micro_batch = 5 does not divide the 32 rows"):
        plan_batches([5], batch=64, micro_batch=5, processes=2, seed=0, device="cpu")
