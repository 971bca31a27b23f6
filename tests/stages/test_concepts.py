"""Parsing concepts from a model's answer, and cutting a seed for the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.settings import ConceptSettings
from selfcodealign.stages.concepts import LONGEST_CONCEPT, cut_snippet, drop_docstrings, read_concepts


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("", []),
        (" ,\n;, . ,``", []),
        ("recursion", ["recursion"]),
        ("recursion, string slicing; sorting\nhashing", ["recursion", "string slicing", "sorting", "hashing"]),
        (
            "- recursion\n* sorting\n• hashing\n1. slicing\n12) joins",
            ["recursion", "sorting", "hashing", "slicing", "joins"],
        ),
        ("`recursion`, 'sorting', \"hashing\", slicing.", ["recursion", "sorting", "hashing", "slicing"]),
        ("Recursion, recursion, RECURSION, STRASSE, straße", ["Recursion", "STRASSE"]),
        ("divide-and-conquer, O(n log n), 2D arrays", ["divide-and-conquer", "O(n log n)", "2D arrays"]),
        ("a" * LONGEST_CONCEPT + ", " + "b" * (LONGEST_CONCEPT + 1), ["a" * LONGEST_CONCEPT]),
    ],
)
def test_an_answer_is_read_as_a_list(text: str, concepts: list[str]) -> None:
    """Commas, semicolons or lines separate concepts; bullets, quotes, repetitions and sentences are removed."""
    assert read_concepts(text, most=12) == concepts


def test_the_first_concepts_stay_when_there_are_too_many() -> None:
    """Repetitions and invalid concepts do not count."""
    assert read_concepts(f"a, A, {'word ' * 30}, b, c, d", most=3) == ["a", "b", "c"]
    assert read_concepts("a, b, c", most=3) == ["a", "b", "c"]


@given(st.text(), st.integers(1, 5))
def test_any_answer_gives_few_short_distinct_concepts(text: str, most: int) -> None:
    """For any answer: no more concepts than allowed, none empty, none a sentence, none twice in another case."""
    concepts = read_concepts(text, most)
    assert len(concepts) <= most
    assert all(0 < len(concept) <= LONGEST_CONCEPT for concept in concepts)
    assert len({concept.casefold() for concept in concepts}) == len(concepts)


LINES = ["a" * 19, "b" * 19, "c" * 19]  # 20 characters each, with the line end


@pytest.mark.parametrize(
    ("lines", "settings", "shown"),
    [
        (LINES, {}, LINES),
        (LINES, {"snippet_lines": 2}, LINES[:2]),
        (LINES, {"snippet_lines": 3}, LINES),
        (LINES, {"snippet_characters": 40}, LINES[:2]),
        (LINES, {"snippet_characters": 59}, LINES[:2]),
        (LINES, {"snippet_characters": 60}, LINES),
        (LINES, {"snippet_lines": 2, "snippet_characters": 60}, LINES[:2]),
        (LINES, {"snippet_lines": 3, "snippet_characters": 40}, LINES[:2]),
        (["a" * 50, "b"], {"snippet_characters": 40}, ["a" * 40]),
        (["a", "b" * 50], {"snippet_characters": 40}, ["a"]),
        ([], {"snippet_characters": 40}, []),
    ],
)
def test_a_snippet_is_as_many_whole_lines_as_there_is_room_for(
    lines: list[str], settings: dict[str, int], shown: list[str]
) -> None:
    """Lines and characters have separate limits; only an overlong first line is cut."""
    assert cut_snippet("\n".join(lines), ConceptSettings.model_validate(settings)) == "\n".join(shown)


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ('class A:\n    """Hold one."""\n\n    one = 1', "class A:\n\n    one = 1"),
        ('async def f(x):\n    """Wait.\n\n    For x.\n    """\n    await x', "async def f(x):\n    await x"),
        ('def f(\n    x,\n):\n    "Return x."\n    return x', "def f(\n    x,\n):\n    return x"),
        (
            'def f(x):\n    # why\n    "Return x."\n    # how\n    return x',
            "def f(x):\n    # why\n    # how\n    return x",
        ),
        ('def f(): "Doc."; \\\n    return 1', 'def f(): "Doc."; \\\n    return 1'),
        ('def f(x):\n    y = "no docstring"\n    return y', 'def f(x):\n    y = "no docstring"\n    return y'),
        ('def f(x):\n    "Not." + "one"\n    return x', 'def f(x):\n    "Not." + "one"\n    return x'),
    ],
)
def test_docstrings_are_cut_out_by_the_line(code: str, left: str) -> None:
    """Docstrings of functions and classes are cut, after heads of any length; comments and other strings stay."""
    assert drop_docstrings(code) == left
