"""A hit of decontamination can be read back from what is written of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfcodealign.curation.contamination import RULES, Hit

_RULE = st.one_of(st.sampled_from(RULES[:4]), st.integers(0, 100).map(lambda share: f"near text {share}%"))
_NAME = st.text("abcXYZ-_./ 019", min_size=1).map(str.strip).filter(bool)
#: What stands between the parts of a written hit, in texts that want to be taken for them.
_TRAP = "x'; benchmark: 'a'; row: \"b'"


@given(_RULE, _NAME, _NAME.filter(lambda name: " " not in name), st.text(), st.text())
@example("text", "tiny", "t/1", _TRAP, _TRAP)
@example("text", "tiny", "t/1", "'\"\\", "\n\x1b[2J\udc80")
def test_a_hit_is_read_as_it_was_written(rule: str, benchmark: str, task: str, theirs: str, ours: str) -> None:
    """Whatever the texts hold, quotes and the words between the parts included."""
    hit = Hit(rule, benchmark, task, theirs, ours)
    assert Hit.read(str(hit)) == hit
    assert Hit.read(str(hit), ["other", benchmark]) == hit


def test_known_names_tell_benchmark_and_task_apart() -> None:
    """A task may have spaces where the benchmark's name is known, the longest one that fits."""
    hit = Hit("code", "my own set", "task 3 of 4", "a", "b")
    assert Hit.read(str(hit), ["my", "my own set"]) == hit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text: a b",
        "text: a b; benchmark: 'x'; row: 'y",
        "text: a b; benchmark: x; row: y",
        r"text: a b; benchmark: '\x'; row: ''",
        "text: a b; benchmark: '\n'; row: ''",
        "text: a b; benchmark: __import__('os'); row: ''",
    ],
)
def test_what_is_no_hit_is_none(text: str) -> None:
    """Details of other versions, cut ones, and ones that somebody has changed."""
    assert Hit.read(text) is None
