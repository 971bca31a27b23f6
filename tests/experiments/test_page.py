"""The page of an experiment: well-formed, self-contained, the pictures' dots at their scores; in a browser it fits."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from selfcodealign.experiments.comparison.layout import Layout
from selfcodealign.experiments.comparison.number_curves import find_axis
from selfcodealign.experiments.comparison.page import _DARK, _LIGHT, html_page
from selfcodealign.experiments.comparison.table import ExperimentTable
from tests.support.browser import look_at
from tests.support.chromium import needs_browser
from tests.support.experiment_tables import make_answers, make_arm, make_base, make_grid, make_many

TABLES: list[Callable[[], ExperimentTable]] = [make_answers, make_grid, make_many]


def page_of(table: ExperimentTable) -> str:
    return html_page(Layout(table))


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


@pytest.mark.parametrize("make", TABLES)
def test_the_page_is_well_formed_and_fetches_nothing(make: Callable[[], ExperimentTable]) -> None:
    """Read as XML; no address, no script; a title, a language, a viewport, and a text for each picture."""
    page = page_of(make())
    strict = re.sub(r"(<meta[^>]*)>", r"\1/>", page).replace("class=own", 'class="own"').replace("<br>", "<br/>")
    strict = strict.replace('tabindex="0"', "").replace("<details open>", "<details>")
    root = ET.fromstring(strict.partition("\n")[2])
    assert root.attrib["lang"] == "en"
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    assert "width=device-width, initial-scale=1" in page
    assert all(picture.attrib["aria-label"] for picture in pictures(page))
    assert root.findtext("head/title") == make().title
    assert root.findtext("body/main/h1") == make().title


def test_dots_stand_at_their_scores() -> None:
    """The place of a mean follows from the axis' own ticks; five small dots per arm; the base is a dashed line."""
    table = make_answers()
    layout = Layout(table)
    (picture,) = pictures(html_page(layout))
    ticks = {
        float(text.text or ""): float(text.attrib["x"]) for text in picture.iter("text") if text.get("class") == "tick"
    }
    (low, at_low), *_, (high, at_high) = sorted(ticks.items())
    groups = picture.findall("g")
    assert [group.findtext("text") for group in groups] == [line.name for line in table.lines]
    for group, line in zip(groups, table.lines, strict=True):
        mean = 100 * layout.results.means[line.name, "tiny-eval"].mean
        (dot,) = [circle for circle in group.findall("circle") if circle.get("class") == "mean"]
        expected = at_low + (mean - low) / (high - low) * (at_high - at_low)
        assert float(dot.attrib["cx"]) == pytest.approx(expected, abs=0.2)
        assert len(group.findall("circle")) == (1 if line.is_base else 6)
    (dashed,) = [path for path in picture.findall("path") if path.get("class") == "base"]
    assert dashed.attrib["stroke-dasharray"]


def test_a_number_that_was_varied_is_drawn_as_a_curve() -> None:
    """One curve for each value of the other key, on a logarithmic axis where it spans more than a factor of ten."""
    table = make_many()
    assert find_axis(table) == "seeds.limit"
    _, curves = pictures(page_of(table))
    lines = list(curves.iter("polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [5] * 6
    places = [float(point.split(",")[0]) for point in lines[0].attrib["points"].split()]
    steps = [later - sooner for sooner, later in pairwise(places)]
    assert steps[0] == pytest.approx(steps[1], abs=0.2)  # 20 → 100 and 100 → 500
    assert steps[3] == pytest.approx(steps[0] / 0.699, abs=0.5)  # 2000 → 20000
    texts = [text.text for text in curves.iter("text")]
    assert "seeds.limit (log scale)" in texts
    assert [text for text in texts if text and text.startswith("curation.rules=")] == [
        f"curation.rules={kind}" for kind in "abcdef"
    ]


def test_two_numbers_are_a_curve_each_and_no_number_is_none() -> None:
    """The key with more values is the axis; words, truth values and single values have no axis."""
    arms = [
        make_arm(f"{seeds} {epochs}", 0.1 * seeds, number=seeds + epochs, seeds_limit=seeds, train_epochs=epochs)
        for seeds in (10, 20, 40)
        for epochs in (1, 2)
    ]
    table = ExperimentTable(title="both", lines=arms)
    assert find_axis(table) == "seeds.limit"
    _, curves = pictures(page_of(table))
    assert len(list(curves.iter("polyline"))) == 2
    assert {"train.epochs=1", "train.epochs=2", "seeds.limit"} <= {text.text for text in curves.iter("text")}
    switched = [make_arm(str(on), 0, number=on, judge=on) for on in (True, False)]
    assert find_axis(ExperimentTable(title="", lines=switched)) is None
    assert find_axis(make_answers()) is None
    assert find_axis(ExperimentTable(title="", lines=[make_base()])) is None


def test_the_grid_marks_own_data() -> None:
    """Students down, generators across, ours and the paper's; the pair that was not run is a dash."""
    page = page_of(make_grid())
    ours, theirs = (text for text in re.findall(r"<table>.*?</table>", page, re.DOTALL) if "tuned \\ data by" in text)
    rows = re.findall(r"<tr>.*?</tr>", ours)[1:]
    for place, row in enumerate(rows):
        cells = re.findall(r"<td.*?</td>", row)
        assert ["own data" in cell for cell in cells] == [column == place for column in range(3)]
    assert ">–<" in rows[1]
    assert theirs.count("<small>own data") == 5
    assert "CodeQwen1.5-7B (base 45.7)" in theirs
    assert "65.2" in theirs


def test_names_are_text() -> None:
    """Markup in names and titles is shown, never read; names of 60 characters are whole in the pictures."""
    page = page_of(make_many())
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; thirty arms" in page
    texts = [[text.text or "" for text in group.findall("text")[:-1]] for group in pictures(page)[0].findall("g")]
    assert ["".join(lines) for lines in texts] == [line.name for line in make_many().lines]
    assert max(len(text) for lines in texts for text in lines) <= 48
    longest = ExperimentTable(title="t", lines=[make_arm("first " + "x" * 200 + " last", 0, k=1)])
    (group,) = pictures(page_of(longest))[0].findall("g")
    lines = [text.text or "" for text in group.findall("text")[:-1]]
    assert lines[0].startswith("first ")
    assert lines[1].endswith(" last")
    assert max(map(len, lines)) <= 48


@pytest.mark.parametrize("colours", [_LIGHT, _DARK], ids=["light", "dark"])
def test_colours_can_be_told_from_the_page(colours: str) -> None:
    """Contrast by WCAG 2.1: 4.5 for texts, 3 for lines and dots."""
    named = dict(part.split(":") for part in colours.split(";"))
    page = luminance(named["--page"])
    for name, least in {"--ink": 4.5, "--dim": 4.5, **{f"--c{number}": 3.0 for number in range(6)}}.items():
        dark, light = sorted((page, luminance(named[name])))
        assert (light + 0.05) / (dark + 0.05) >= least, name


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("make", TABLES)
def test_the_page_fits_a_phone(make: Callable[[], ExperimentTable], dark: bool, tmp_path: Path) -> None:
    """In a browser of 360 points: nothing wider than the screen but what scrolls by itself, no label cut off."""
    table = make()
    seen = look_at(page_of(table), tmp_path, dark=dark)
    assert seen["view"] == 360
    assert seen["width"] == 360
    assert seen["wide"] == []
    assert seen["cut"] == []
    assert seen["smallest"] > 9.5
    assert seen["title"] == table.title
    assert seen["background"] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert seen["focused"] == seen["stops"] >= len(seen["regions"]) >= 1
    for text in (table.title, "Scores", "Differences", table.lines[0].name):
        assert text in seen["text"]
