"""The report of a run: what it says, how it is built, and how it looks in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from selfcodealign.report.facts import RunFacts
from selfcodealign.report.page.render import render
from tests.support.browser import BROWSER, look_at
from tests.support.page_parts import read_page
from tests.support.report_facts import make_empty_facts, make_facts

RUNS: list[Callable[[], RunFacts]] = [make_facts, make_empty_facts]


def text_of(page: str) -> str:
    return " ".join(read_page(page).text.split())


def test_the_page_tells_the_run() -> None:
    """Counts and units, reasons, rates, costs, scores, hits beside their item, licences, marks and digests."""
    told = text_of(render(make_facts()))
    for words in (
        "quickstart",
        "finished",
        "456 of 1,604 answers judged",
        "12.5 → 90.0",
        "1,326 files dropped",
        "no_docstring 1,259",
        "2,642 functions dropped",
        "3,027 functions looked at",
        "456 responses kept",
        "28.4 % of the responses",
        "undefined_names",
        "0.0013 USD",
        "list comprehension",
        "For loops 4",
        "It returns `name` in capital letters.",
        "PSF-2.0",
        "90.0 [86.0–94.0]",
        "wrong units",
        "9abb529212afecf4",
        "selfcodealign run again.toml --out runs/again",
    ):
        assert words in told, words


def test_a_run_that_has_begun_has_a_page() -> None:
    """No section without content, and no figure that the run does not have."""
    told = text_of(render(make_empty_facts()))
    assert "not finished" in told
    assert "Nothing is finished yet." in told
    assert read_page(render(make_empty_facts())).headings == [1]


def test_a_stopped_stage_and_earlier_rows_are_told() -> None:
    """A budget's stop is the state of the run; earlier rows stand as such in picture and table."""
    stages = list(make_facts().stages)
    stages[6] = replace(stages[6], finished=False, stopped="tokens")
    stages[7] = replace(stages[7], earlier=True)
    told = text_of(render(make_facts(finished=False, stages=stages)))
    assert "stopped by its budget: tokens" in told
    assert told.count("(stopped by tokens)") == 1
    assert "(of earlier rows)" in told


@pytest.mark.parametrize("make", RUNS)
def test_the_page_is_built_for_everybody(make: Callable[[], RunFacts]) -> None:
    """Headings in order, captions and scopes, names of pictures and regions, anchors that lead somewhere."""
    page = read_page(render(make()))
    assert page.headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(page.headings))
    assert len(set(page.ids)) == len(page.ids)
    assert all(target.removeprefix("#") in page.ids for target in page.targets)
    assert page.captions == page.tables
    assert page.heads_without_scope == 0
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in page.of("svg"))
    for region in (attributes for attributes in page.of("div") if attributes.get("class") == "scroll"):
        assert region.keys() >= {"role", "tabindex", "aria-label"}


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    """No script, no address, and a policy of the browser that forbids both."""
    text = render(make_facts())
    assert not re.search(r"<script|<link|<img|<iframe| src=|@import|url\((?!#)|javascript:", text)
    assert all(target.startswith("#") for target in read_page(text).targets)
    (policy,) = [one["content"] for one in read_page(text).of("meta") if "http-equiv" in one]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_the_page_is_the_same_for_the_same_facts() -> None:
    """Nothing on it depends on the time of day or on the order of a set."""
    assert render(make_facts()) == render(make_facts())


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome here; CHROME_BIN names one")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("make", RUNS)
def test_the_page_fits_a_phone(make: Callable[[], RunFacts], dark: bool, tmp_path: Path) -> None:
    """360 points wide nothing sticks out or is cut off; every text has a contrast of 4.5, every stop can be reached."""
    seen = look_at(render(make()), tmp_path, dark=dark)
    assert seen["width"] == seen["view"] == 360
    assert seen["wide"] == []
    assert seen["cut"] == []
    assert seen["faint"] == []
    assert seen["focused"] == seen["stops"]
    assert seen["background"] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
