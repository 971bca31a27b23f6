"""The snippet of a seed in a prompt."""

from __future__ import annotations

from selfcodealign.settings import ConceptSettings
from selfcodealign.stages.concepts import cut_snippet, drop_docstrings

SEED = '''import re


def tidy(text, mark="#"):
    """Tidy a text.

    Over several lines.
    """
    def inner(part):
        "One line."
        return part.strip()

    return mark.join(inner(part) for part in re.split(",", text))
'''


def test_docstrings_are_left_out_when_asked() -> None:
    """Without docstrings only the docstrings are missing; by default they are shown."""
    shown = cut_snippet({"seed": SEED}, ConceptSettings(snippet_docstrings=False, snippet_lines=6))
    assert shown == ('import re\n\n\ndef tidy(text, mark="#"):\n    def inner(part):\n        return part.strip()')
    assert cut_snippet({"seed": SEED}, ConceptSettings(snippet_lines=5)).endswith('"""Tidy a text.')


def test_what_a_seed_carries_is_left_out_first() -> None:
    """It is shown where there is room for all of it; else the function with its own imports has the room."""
    code = "import os\nimport re\n\n\nDOT = re.compile('.')\n\n\ndef f(x):\n    return DOT, os.sep, x"
    row = {"seed": code, "carried_start": 5, "carried_lines": 1}
    alone = "import os\n\n\ndef f(x):\n    return DOT, os.sep, x"
    assert cut_snippet(row, ConceptSettings()) == code
    assert cut_snippet(row, ConceptSettings(snippet_carried=False)) == alone
    assert cut_snippet(row, ConceptSettings(snippet_lines=9)) == code
    assert cut_snippet(row, ConceptSettings(snippet_lines=8)) == alone
    assert cut_snippet(row, ConceptSettings(snippet_lines=2, snippet_characters=60)) == "import os\n"


def test_a_docstring_that_cannot_be_cut_out_stays() -> None:
    """A docstring that is the whole body, or shares its line with code, is kept, so that the code still parses."""
    for code in (
        'def f():\n    "Nothing."',
        'def f(): "Doc."; return 1',
        'def f():\n    "Doc."; return 1',
        "x = 1\n'text'",
    ):
        assert drop_docstrings(code) == code
