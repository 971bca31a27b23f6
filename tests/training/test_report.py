"""The page of a training: well-formed, self-contained, curves with round numbers and exact values."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from selfcodealign.training.curves import draw_curve, find_ticks, label
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.masking import Piece
from selfcodealign.training.report import write_report

SVG = "{http://www.w3.org/2000/svg}"


def make_steps(count: int) -> list[dict[str, float]]:
    return [
        {
            "step": number,
            "loss": 3.0 / number + 0.123456,
            "learning_rate": 1e-5 * (1 - number / count),
            "grad_norm": math.nan if number == 2 else 1 + 1 / number,
            "tokens_per_second": 12_000.0 + number,
        }
        for number in range(1, count + 1)
    ]


@pytest.fixture
def page(tmp_path: Path) -> str:
    """The report of twelve steps on two rows."""
    write(tmp_path)
    return (tmp_path / "train_report.html").read_text("utf-8")


def write(tmp_path: Path, **facts: object) -> None:
    """Write the report of twelve steps on two rows, with these further facts."""
    steps = make_steps(12)
    losses = [step["loss"] for step in steps]
    result = TrainResult(
        tmp_path, 12, 2, {}, 100, 50, losses[0], losses[-1], 3.0, 12_012.0, 6_000.0, tmp_path / "r", losses
    )
    proof = Proof([4], [[Piece("ask <b>\n", False, 2), Piece("answer<|end|>", True, 3)]])
    split = {"micro_batch": 1, "accumulation": 2, "processes": 1}
    about = {"model": "m", "dataset": "d", "settings": {"batch": 2}, "split": split}
    write_report(tmp_path, result, steps, proof, about | facts)


@pytest.mark.parametrize(
    ("models", "said", "unsaid"),
    [
        (["m"], "written by `m`. The licences and terms of the base model and of `m` apply", "no self-alignment"),
        (["m", "t"], "written by `m` and `t`. The licences", "only"),
        (["t"], "A model other than the base wrote what it was tuned on", "`m`"),
        ([], "loss on the answers only", "written by"),
    ],
    ids=["itself", "with a teacher", "a teacher", "unknown"],
)
def test_the_card_names_the_models_that_wrote_the_data(
    tmp_path: Path, models: list[str], said: str, unsaid: str
) -> None:
    """A tuned model carries the terms of its base and of whatever wrote its data."""
    write(tmp_path, written_by=models)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert said in card
    assert unsaid not in card.replace("loss on the answers only", "")


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_has_four_curves_with_exact_values(page: str) -> None:
    """Loss, learning rate, gradient norm and speed: one dot with its value for each finite one."""
    steps = make_steps(12)
    names = ["loss", "learning rate", "gradient norm", "tokens/s"]
    for picture, name, field in zip(pictures(page), names, list(steps[0])[1:], strict=True):
        assert [text.text for text in picture.findall(f"{SVG}text")][-2:] == ["step", name]
        titles = [title.text for title in picture.iter(f"{SVG}title")]
        finite = [step for step in steps if math.isfinite(step[field])]
        assert titles == [f"step {step['step']:.0f}: {step[field]:.6g}" for step in finite]
        (line,) = picture.findall(f"{SVG}polyline")
        assert len(line.attrib["points"].split()) == len(finite)


def test_the_axes_have_round_numbers_inside_the_picture(page: str) -> None:
    """Whole steps; values as a person writes them; no label outside, no two labels on each other."""
    for picture in pictures(page):
        steps = [text for text in picture.findall(f"{SVG}text") if text.get("class") == "step"]
        assert [text.text for text in steps] == ["2", "4", "6", "8", "10", "12"]
        values = [text for text in picture.findall(f"{SVG}text") if text.get("class") == "value"]
        assert 3 <= len(values) <= 6
        heights = [float(text.attrib["y"]) for text in values]
        assert all(before - after > 20 for before, after in pairwise(heights))
        assert all(0 < y < 270 for y in heights)
        for text in values:
            assert re.fullmatch(r"0|\d(\.5)?|\d{1,2},000|\de-[56]|1e-5", text.text or ""), text.text


def test_the_page_is_self_contained_and_fits_dark_screens_and_phones(page: str) -> None:
    """Nothing is fetched; colours follow the reader's; the width is the device's; all tags are closed."""
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    assert page.count("prefers-color-scheme") == 5
    assert "width=device-width, initial-scale=1" in page
    assert "ask &lt;b&gt;" in page

    class Tags(HTMLParser):
        opened: list[str] = []  # noqa: RUF012 (one page)

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                self.opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.opened.pop() == tag

    Tags().feed(page)
    assert Tags.opened == []


def test_a_long_training_has_lines_instead_of_dots() -> None:
    """Ten thousand steps stay a small picture."""
    points = [(number, 3 + math.sin(number)) for number in range(1, 2001)]
    picture = draw_curve(points, 2000, "loss", from_zero=False, smooth=True)
    assert "<circle" not in picture
    assert picture.count("<polyline") == 2
    assert re.findall(r'class="step"[^>]*>([^<]*)', picture) == ["500", "1,000", "1,500", "2,000"]


@pytest.mark.parametrize("values", [[2.0], [0.0, 0.0], [1e-5, 1e-5], [5.0, 5.0, float("inf")]])
def test_level_and_short_curves_are_drawn(values: list[float]) -> None:
    """One step, a constant, an infinite value."""
    picture = draw_curve(list(enumerate(values, 1)), len(values), "loss", from_zero=False)
    assert "nan" not in picture
    assert picture.count("<circle") == sum(map(math.isfinite, values))


def test_no_finite_value_is_an_error() -> None:
    """There is nothing to draw."""
    with pytest.raises(ValueError, match="no finite loss"):
        draw_curve([(1, math.nan)], 1, "loss")


@pytest.mark.parametrize(("low", "high"), [(0, 1e-5), (0.9, 1.1), (0, 54_321), (1, 2), (3.2, 3.21), (-1, 7)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    """At least two, at most six, at equal distances."""
    ticks = find_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert all(len(label(tick).replace(",", "").lstrip("0.-")) <= 5 for tick in ticks)
