"""The picture of the funnel: bands in proportion, numbers and reasons as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from selfcodealign.report.funnel import StageAccount
from selfcodealign.report.page.flow import draw_flow, splits_of
from selfcodealign.rows import Books


def account(
    entered: int, kept: int, dropped: dict[str, int], *units: str, whole: dict[str, int] | None = None
) -> StageAccount:
    return StageAccount("stage", Books(entered, kept, dropped), True, *units, whole=whole or {})


def filters(entered: int, dropped: dict[str, int]) -> StageAccount:
    return account(entered, entered - sum(dropped.values()), dropped, "seeds", "seeds", "seeds", whole=dropped)


def widths(picture: ET.Element) -> list[float]:
    return [float(one.attrib["width"]) for one in picture.findall("rect") if one.get("class") == "kept"]


def draw(*accounts: StageAccount) -> ET.Element:
    return ET.fromstring(str(draw_flow(accounts)))


@pytest.mark.parametrize("lost", [1, 25, 50, 99])
def test_what_is_kept_is_as_wide_as_its_share(lost: int) -> None:
    """Of 100 rows, the band below the branch has the share of those that stayed."""
    whole, kept = widths(draw(filters(100, {"near_copy": lost})))
    assert kept / whole == pytest.approx((100 - lost) / 100, abs=0.01)


def test_a_stage_that_keeps_nothing_ends_the_flow() -> None:
    """No band goes on; the text says zero."""
    picture = draw(filters(10, {"near_copy": 10}), filters(0, {}))
    assert widths(picture)[0] == widths(picture)[1]
    told = [text.text for text in picture.iter("text")]
    assert told[told.index("0 seeds kept") + 1] == "0.0 % of the seeds"


def test_a_stage_drops_files_and_functions_one_after_the_other() -> None:
    """Two bands with a unit each; the counts of both are those of the account."""
    stage = account(10, 3, {"test_code": 4, "too_long": 5}, "files", "functions", "seeds", whole={"test_code": 4})
    first, second = splits_of(stage)
    assert (first.entered, first.unit, dict(first.dropped)) == (10, "files", {"test_code": 4})
    assert (second.entered, second.unit, dict(second.dropped)) == (8, "functions", {"too_long": 5})
    told = [text.text for text in draw(stage).iter("text")]
    assert "10 files in" in told
    assert "8 functions looked at" in told
    assert told[told.index("3 seeds kept") + 1] == "37.5 % of the functions"


def test_rows_that_come_twice_and_single_rows_are_told() -> None:
    """One row is told in the singular; a row of a known id is the difference between what was kept and what entered."""
    stage = replace(filters(3, {"near_copy": 1}), again=1)
    told = [text.text for text in draw(stage).iter("text")]
    assert "3 seeds in, 1 came twice" in told
    assert "1 seed dropped" in told


def test_many_reasons_are_counted_together() -> None:
    """Six reasons, the most frequent first, and the others in one line."""
    told = [text.text or "" for text in draw(filters(1_000, {f"r{n}": n + 1 for n in range(20)})).iter("text")]
    assert [one for one in told if one.startswith("r1")] == [f"r{n} {n + 1}" for n in (19, 18, 17, 16, 15, 14)]
    assert f"14 more reasons {sum(range(1, 15))}" in told


def test_counts_that_do_not_fit_together_are_drawn() -> None:
    """A stage in progress may have dropped more than it says has entered."""
    picture = draw(filters(3, {"near_copy": 5}))
    assert all(width > 0 for width in widths(picture))
    assert draw_flow([]) == ""


def test_the_picture_is_told_in_words() -> None:
    """Its name has the stages with their counts."""
    assert draw(filters(100, {"near_copy": 1})).attrib["aria-label"] == (
        "Flow of rows. stage 100 seeds in, 99 seeds kept. The table has the reasons."
    )
