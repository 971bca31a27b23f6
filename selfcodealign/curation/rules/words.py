"""Words of unfinished code, in comments and docstrings. A word is a whole one: `debug` holds no `bug`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from selfcodealign.curation.rules.code import Code, Problem


def find_bad_word(code: Code, words: Sequence[str]) -> Problem | None:
    """The first of these words, in any case. Names are not looked at: `todo` is a good name for a list of work."""
    if not words:
        return None
    for found in _pattern(tuple(words)).finditer(code.text):
        if code.comment_at(found.start(), found.end()):
            return Problem("bad_word", code.line_of(found.start()), found[0])
    return None


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
