"""Texts as words and code as tokens, and how much a text tells: evidence is measured in bits.

A word tells -log2 of its share among the words of Python code, as counted in a few thousand files of libraries
(`embedded/word_bits.txt`: the frequent words by their rounded bits). "Add two numbers x and y" tells 54 bits,
"return x + y" 21. So a short text counts where its words are rare, and a long one does not where they are not.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

#: What a word tells that is not among the frequent ones.
RARE_BITS = 16
#: What a mark of code tells, such as a bracket or an operator.
MARK_BITS = 2

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SAID = re.compile(r'"""(?:.*?)"""|\'\'\'(?:.*?)\'\'\'|#[^\n]*', re.DOTALL)


def split_words(text: str) -> list[str]:
    """The words of a text in lower case; marks, layout and comment signs do not count."""
    return _WORD.findall(text.lower())


def split_code(text: str) -> list[str]:
    """The tokens of code without comments and docstrings; both kinds of quotes are one."""
    return _TOKEN.findall(_SAID.sub(" ", text).replace("'", '"'))


def split_name(name: str) -> list[str]:
    """The words of an identifier.

    >>> split_name("has_closeElements2")
    ['has', 'close', 'elements', '2']
    """
    return [part.lower() for part in _PART.findall(name)]


def bits(word: str) -> int:
    """How much a word or a token of code tells; numbers and marks tell little."""
    return _table().get(word) or _table().get(word.lower()) or _unlisted(word)


def _unlisted(word: str) -> int:
    if word.isdigit():
        return min(3 * len(word), RARE_BITS)
    return RARE_BITS if word[:1].isalnum() or len(word) > 1 else MARK_BITS


@cache
def _table() -> dict[str, int]:
    text = (resources.files("selfcodealign") / "embedded" / "word_bits.txt").read_text("utf-8")
    lines = (line.split(" ") for line in text.splitlines())
    return {word: int(number) for number, *words in lines for word in words}
