"""Charts: places follow from numbers, names are escaped, and numbers that are none are left out."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from selfcodealign.pages.charts import draw_histogram, draw_line


def columns(text: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(text).findall("rect") if one.get("class") == "column"]


def test_columns_are_as_high_as_their_counts() -> None:
    """All of one width, also where bins grow; what a column says is its bin and its count."""
    found = columns(draw_histogram([0, 10, 100, 1_000], [1, 4, 2], "characters", "rows", "lengths"))
    heights = [float(one.attrib["height"]) for one in found]
    assert heights[1] / heights[0] == pytest.approx(4, rel=0.02)
    assert heights[1] / heights[2] == pytest.approx(2, rel=0.02)
    assert len({one.attrib["width"] for one in found}) == 1
    assert found[2].findtext("title") == "100 to 1,000: 2"


def test_labels_do_not_overlap() -> None:
    """Of many edges those are told that have room."""
    text = draw_histogram(list(range(0, 101_000, 1_000)), [1] * 100, "characters", "rows", "lengths")
    texts = [(float(one.attrib["x"]), one.text or "") for one in ET.fromstring(text).findall("text")]
    below = [(x, told) for x, told in texts if told.endswith(",000")]
    assert 4 < len(below) < 12
    assert all(right - left >= 8 * len(told) - 8 for (left, told), (right, _) in pairwise(below))


def test_a_line_goes_through_its_points() -> None:
    """As far to the right and as high as the numbers; what is not finite is left out."""
    text = draw_line([(0, 0.0), (5, 5.0), (7, math.nan), (10, 10.0)], "lists", "distinct", "coverage")
    (line,) = ET.fromstring(text).findall("polyline")
    places = [tuple(map(float, one.split(","))) for one in line.attrib["points"].split()]
    assert len(places) == 3
    assert places[1][0] == pytest.approx((places[0][0] + places[2][0]) / 2, abs=0.1)
    assert places[1][1] == pytest.approx((places[0][1] + places[2][1]) / 2, abs=0.1)


def test_nothing_to_draw_is_no_picture() -> None:
    """Without a finite number there is nothing, and no error."""
    assert draw_line([(1, math.inf)], "", "", "") == ""
    assert draw_histogram([], [], "", "", "") == ""
    assert columns(draw_histogram([0, 1], [0], "", "", "empty"))


def test_names_are_escaped() -> None:
    """A name from a run ends neither its attribute nor its element."""
    hostile = "\"><script>alert('x')</script>\u202e"
    text = draw_histogram([0, 1], [1], hostile, hostile, hostile)
    assert "<script" not in text
    assert "\u202e" not in text
    assert ET.fromstring(text).attrib["aria-label"].startswith('"><script>')
