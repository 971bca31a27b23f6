"""Nothing in rows, names, sources or settings becomes part of the report: not as an element, not as an attribute."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.report.facts import RunFacts
from selfcodealign.report.page.render import render
from selfcodealign.rows import Example
from tests.support.browser import BROWSER, look_at
from tests.support.page_parts import Page, read_page
from tests.support.planting import HOSTILE, plant
from tests.support.report_facts import make_facts

#: What the page decides by, besides numbers: fields of rows, and units and names of tables.
KEPT = frozenset(
    {*Example.field_names(), "step", "loss", "stage", "category", "seeds", "instructions", "responses", "passed"}
)


def planted(write: Callable[[str], str]) -> RunFacts:
    return plant(make_facts(warnings=["a warning"]), write, KEPT)


def numbered(text: str) -> Callable[[str], str]:
    """Write `text` into each field, with a number so that keys stay apart."""
    numbers = count()
    return lambda _: f"{text} {next(numbers)}"


def elements(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    """Elements and the names of their attributes; spans are colours of code and cuts, and differ with the text."""
    return [(tag, tuple(attributes)) for tag, attributes in page.elements if tag != "span"]


PLAIN = elements(read_page(render(planted(numbered("plain")))))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_element_and_no_attribute_comes_from_a_text(text: str) -> None:
    """The page has the elements of the page of plain words, in the same order, whatever the words are."""
    written = render(planted(numbered(text)))
    page = read_page(written)
    assert elements(page) == PLAIN
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
    for attributes in page.of("span"):
        assert set(attributes) <= {"class", "style", "aria-hidden"}


def test_invisible_characters_are_seen() -> None:
    """No control, no bidirectional mark and no lone surrogate stands in the page; it can be encoded."""
    page = render(planted(numbered("".join(HOSTILE[7:10]))))
    page.encode("utf-8")
    assert {unicodedata.category(letter) for letter in set(page) - set("\n\t")} & {
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    } == set()
    assert "\\u202e" in page
    assert "\\ud800" in page


def test_a_million_letters_in_each_field() -> None:
    """The page stays small, and says how much it leaves out."""
    page = render(planted(numbered("<b>" + "x" * 1_000_000)))
    assert len(page.encode()) <= 3_000_000
    assert "more characters" in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome here; CHROME_BIN names one")
@pytest.mark.parametrize("text", ["".join(HOSTILE), HOSTILE[1]])
def test_nothing_runs_in_a_browser(text: str, tmp_path: Path) -> None:
    """Even without the page's policy nothing of a text runs, and nothing disappears: the page is whole and in place."""
    page = render(planted(numbered(text)))
    without_policy = re.sub(r"<meta http-equiv[^>]*>", "", page)
    assert without_policy != page
    seen: dict[str, Any] = look_at(without_policy, tmp_path)
    assert seen["title"].endswith("report of a run")
    assert "Repeat this run" in seen["text"]
    assert seen["width"] == 360
    assert seen["wide"] == []
    assert seen["cut"] == []
