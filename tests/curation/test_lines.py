"""Windows of lines: inside the file, within their bounds, the same each time; and what is no seed."""

from __future__ import annotations

import pickle
from collections import Counter
from functools import partial
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfcodealign.curation.lines import extract_windows
from selfcodealign.rows import Dropped, Seed, SourceFile, digest
from selfcodealign.settings import SeedSettings

#: Files of different lines, so that a line of a window tells where it comes from.
numbered = st.integers(1, 250).map(lambda count: [f"x_{number} = {number}" for number in range(1, count + 1)])


def source(text: str | bytes, name: str = "a.py", **facts: object) -> SourceFile:
    file = {"origin": "here", "commit": "c0", "licence": "MIT"} | facts
    return SourceFile(id=digest(name, text), path=name, text=text, **file)  # type: ignore[arg-type]


def draw(text: str | bytes, name: str = "a.py", **settings: object) -> list[Seed | Dropped]:
    return extract_windows(source(text, name), SeedSettings.model_validate({"kind": "lines", **settings}))


def seeds(text: str, name: str = "a.py", **settings: object) -> list[Seed]:
    return [row for row in draw(text, name, **settings) if isinstance(row, Seed)]


def reason(text: str | bytes, settings: dict[str, object]) -> str:
    (row,) = draw(text, "a.py", **settings)
    return row.reason if isinstance(row, Dropped) else ""


@given(numbered, st.integers(1, 20), st.integers(0, 30), st.sampled_from(["document", "chunk"]), st.text(max_size=4))
def test_windows_are_inside_the_file_and_within_their_bounds(
    lines: list[str], fewest: int, more: int, per: str, name: str
) -> None:
    """Whole lines of the file, from the line that the seed names on; as many as asked for; the same each time."""
    text = "\n".join(lines) + "\n"
    settings = {"lines_per": per, "lines_min": fewest, "lines_max": fewest + more}
    rows = draw(text, name, **settings)
    assert rows == draw(text, name, **settings)
    if len(lines) < max(fewest, 10 if per == "chunk" else 1):
        assert [row.reason for row in rows if isinstance(row, Dropped)] == ["too_few_lines"]
        return
    assert len(rows) == (1 if per == "document" else max(1, len(lines) // 100))
    for row in rows:
        assert isinstance(row, Seed)
        window = row.seed.split("\n")
        assert window == lines[row.source_line - 1 : row.source_line - 1 + len(window)]
        assert fewest <= len(window) <= fewest + more


def test_a_document_gives_one_window_anywhere_of_any_length() -> None:
    """The start is uniform over the lines, the length over 1 to 15, cut by the end of the file."""
    text = "".join(f"x = {number}\n" for number in range(10))
    found = [seeds(text, name=f"{number}.py")[0] for number in range(1500)]
    starts = Counter(seed.source_line for seed in found)
    assert set(starts) == set(range(1, 11))
    assert all(100 < count < 200 for count in starts.values())
    lengths = Counter(seed.seed.count("\n") + 1 for seed in found if seed.source_line == 1)
    assert set(lengths) == set(range(1, 11))
    assert max(lengths, key=lambda length: lengths[length]) == 10  # lengths of 10 to 15 are cut


def test_each_chunk_of_a_hundred_lines_gives_one_window() -> None:
    """Chunks count from the end, and what is left over is the head; lengths are 5 to 30 lines."""
    text = "".join(f"x_{number} = {number}\n" for number in range(1, 251))
    found = [seed for number in range(300) for seed in seeds(text, f"{number}.py", lines_per="chunk")]
    assert len(found) == 600
    assert {(seed.source_line - 51) // 100 for seed in found} == {0, 1}
    assert {seed.seed.count("\n") + 1 for seed in found} == set(range(5, 31))
    for seed in found:
        last = seed.source_line + seed.seed.count("\n")
        assert (seed.source_line - 51) // 100 == (last - 51) // 100


def test_a_seed_says_where_it_comes_from() -> None:
    """Facts of the file, no function; windows with the same text share their id."""
    (seed,) = extract_windows(source("x = 1\n", repository="a/b"), SeedSettings(kind="lines"))
    assert isinstance(seed, Seed)
    assert (seed.kind, seed.function, seed.seed, seed.source_line) == ("lines", "", "x = 1", 1)
    assert (seed.origin, seed.source_path, seed.commit, seed.licence) == ("here", "a.py", "c0", "MIT")
    assert (seed.repository, seed.source_id) == ("a/b", source("x = 1\n", repository="a/b").id)
    assert seeds("x = 1\n", "b.py")[0].id == seed.id


def test_tidy_windows() -> None:
    """Tabs are four spaces, the common indentation goes, and empty lines do not follow each other."""
    body = "".join(f"\tx = {number}\n\n   \n\n" for number in range(8))
    (seed,) = seeds("class A:\n\tpass\n\n\n" + body, lines_per="chunk", lines_min=6, lines_max=8)
    assert "\t" not in seed.seed
    assert "\n\n\n" not in "\n".join(line.strip() for line in seed.seed.split("\n"))
    assert seed.seed == dedent(seed.seed)
    (raw,) = seeds(body, lines_per="chunk", lines_tidy=False, lines_min=6, lines_max=6)
    assert "\t" in raw.seed
    assert raw.seed.count("\n") == 5


def test_a_tidy_window_names_its_first_line_in_the_file() -> None:
    """Also where empty lines before it were taken out."""
    lines = [line for number in range(40) for line in (f"x_{number} = {number}", "", "", "")]
    for name in "abcdefgh":
        for seed in seeds("\n".join(lines), name, lines_per="chunk"):
            assert lines[seed.source_line - 1] == seed.seed.split("\n")[0]


MANY = "x = 1\n" * 20


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("", {}, "blank"),
        ("\n \n\t\n", {}, "blank"),
        (b"x = '\xff'\n", {}, "not_utf8"),
        ("x" * 5000, {}, "minified"),
        ("x" * 1001, {}, "long_line"),
        ("</snippet>\n", {}, "prompt_markup"),
        ("## Example 3\n", {}, "prompt_markup"),
        ("x = 1\n", {"lines_min": 2}, "too_few_lines"),
        ("x = 1\n" * 9, {"lines_per": "chunk"}, "too_few_lines"),
        ("x = 1\n" * 5001, {"lines_per": "chunk"}, "too_many_lines"),
        (f"x = '{'y' * 80}'\n" * 20, {"lines_per": "chunk"}, "long_lines"),
        ("(1, 2)\n" * 20, {"lines_per": "chunk"}, "symbols_only"),
        ("(1, 2)\n" * 20, {}, ""),
        ("(1, 2)\n" * 20, {"lines_tidy": True}, "symbols_only"),
        (MANY, {"licences": ["ISC"]}, "licence"),
        (MANY + "import numpy\n", {}, ""),
        (MANY + "import numpy\n", {"lines_standard_library": True}, "other_imports"),
        (MANY + "def f():\n    from . import a\n", {"lines_standard_library": True}, "other_imports"),
        (MANY + "import os, os.path\nfrom json.decoder import x\n", {"lines_standard_library": True}, ""),
        (MANY + "print 1\n", {"lines_standard_library": True}, "syntax_error"),
        (MANY + "print 1\n", {}, ""),
    ],
)
def test_what_is_no_seed_has_its_reason(text: str | bytes, settings: dict[str, object], expected: str) -> None:
    """Of documents and of windows; without tidying, only what no prompt can show is dropped."""
    assert reason(text, settings) == expected


def test_a_dropped_window_shows_itself() -> None:
    """As a whole seed, which a licence allows or not; a line that is too long to be shown is too long to be kept."""
    (licence,) = draw(MANY, licences=["ISC"])
    (long,) = draw("x" * 1001)
    assert isinstance(licence, Dropped)
    assert isinstance(long, Dropped)
    assert licence.detail == "MIT"
    assert licence.row["seed"].startswith("x = 1")
    assert long.row["seed"] == ""


def test_own_code_needs_no_licence() -> None:
    """As for functions."""
    (row,) = extract_windows(source(MANY, own=True, licence="unknown"), SeedSettings(kind="lines"))
    assert isinstance(row, Seed)


def test_bounds_that_exclude_each_other_are_refused() -> None:
    """The default of the other bound counts, and the message names both."""
    with pytest.raises(ValidationError, match=r"seeds\.lines_min is 20 and seeds\.lines_max is 15"):
        SeedSettings(kind="lines", lines_min=20)
    assert SeedSettings(kind="lines", lines_min=20, lines_per="chunk").line_bounds == (20, 30)


@given(st.one_of(st.text(), st.binary()), st.sampled_from(["document", "chunk"]))
def test_any_input_has_an_outcome(content: str | bytes, per: str) -> None:
    """No input raises, and each has at least one row that can be stored."""
    rows = draw(content, lines_per=per, licences=["any"], lines_standard_library=True)
    assert rows
    for row in rows:
        fields = row.fields() if isinstance(row, Seed) else row.row
        "".join(map(str, fields.values())).encode("utf-8")


def test_extraction_travels_to_other_processes() -> None:
    """The engine runs it in a pool."""
    work = pickle.loads(pickle.dumps(partial(extract_windows, settings=SeedSettings(kind="lines"))))
    assert work(source(MANY)) == draw(MANY)
