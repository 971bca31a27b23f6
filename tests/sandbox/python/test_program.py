"""Sections out of one text."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox.python.program import split_sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("<response>a</response><tests>b</tests>", ("a", "b")),
        ("<response>a</response>\n<tests>b", ("a", "b")),
        ("a<tests>b</tests>", ("a", "b")),
        ("a\n\n## Tests\nb", ("a\n\n", "\nb")),
        ("a\n\n**Tests:**\nb", ("a\n\n", "\nb")),
        ("a\n\n### Unit tests for it\nb", ("a\n\n", "\nb")),
        ("no tests at all", ("no tests at all", "")),
    ],
)
def test_split_sections(text: str, sections: tuple[str, str]) -> None:
    """Tags first, then a heading; otherwise there is no tests section."""
    assert split_sections(text) == sections
