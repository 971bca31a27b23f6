"""Fenced code in Markdown, as CommonMark has it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.markdown import Block, find_blocks

#: Lines that begin no fence; every character but line ends.
LINES = st.lists(
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12).filter(
        lambda line: not line.lstrip(" \t").startswith(("```", "~~~"))
    ),
    max_size=6,
)


@given(LINES, LINES, LINES, st.sampled_from(["```", "~~~", "`````"]), st.sampled_from(["", "python", "py3", "C++"]))
def test_code_written_into_a_fence_comes_back(
    before: list[str], code: list[str], after: list[str], mark: str, language: str
) -> None:
    """Code is read back byte by byte, with language and line, closed or cut off, in any surrounding text."""
    written = "".join(f"{line}\n" for line in code)
    prose = "".join(f"{line}\n" for line in before)
    rest = "\n".join(after)
    expected = Block(language.lower(), written, len(before) + 1, True)
    assert find_blocks(f"{prose}{mark}{language}\n{written}{mark}\n{rest}") == [expected]
    cut_off = Block(language.lower(), written, len(before) + 1, False)
    assert find_blocks(f"{prose}{mark}{language}\n{written}") == [cut_off]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("````python\n```\nx\n```\n````", [("python", "```\nx\n```\n", True)]),
        ("```python\n~~~\n```", [("python", "~~~\n", True)]),
        ("```python\n```py\n```", [("python", "```py\n", True)]),
        ("\t```python\nx\n\t```", [("python", "x\n", True)]),
        ("    ```python\nx\n    ```", []),
        ("```python,linenos=1\nx\n``` \t", [("python", "x\n", True)]),
        ("```{python}\nx\n```", [("python", "x\n", True)]),
        ("```python\nx\n```</response>", [("python", "x\n", True)]),
        ("``` `x` ```\ny", []),
        ("```python\r\nx\r\n```\r\n", [("python", "x\n", True)]),
        ("```python\nx = '\x0c\u2028\x85'\n```", [("python", "x = '\x0c\u2028\x85'\n", True)]),
        ("```", [("", "", False)]),
    ],
)
def test_what_is_a_fence_and_what_is_code(text: str, blocks: list[tuple[str, str, bool]]) -> None:
    """Longer fences hold shorter ones; kinds do not mix; words, braces, blanks and line ends around them."""
    assert [(block.language, block.code, block.closed) for block in find_blocks(text)] == blocks


@pytest.mark.parametrize("unit", ["~", "`", "~`", "```a\n", "a`", "```", "\t", "{"])
def test_long_texts_take_no_longer_than_their_length(unit: str) -> None:
    """A megabyte of text that could cause quadratic matching."""
    started = time.perf_counter()
    find_blocks("~~~" + unit * (1_000_000 // len(unit)) + "`")
    assert time.perf_counter() - started < 5
