"""Recognise text lifted from the worked examples: a sentence that belongs to another task.

Sentences are compared without case, punctuation and code. A sentence that several worked examples share, or that the
row's own task holds, is nobody's in particular and is not looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

#: Shorter sentences, in words or characters of plain text, are written twice by chance.
_LEAST_WORDS, _LEAST_CHARACTERS = 8, 50
_FENCED = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+|\n\s*")


def without_code(text: str) -> str:
    """The text without its fenced code."""
    return _FENCED.sub("\n", text)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text outside of fenced code, as plain words."""
    return (plain for one in _SENTENCE_END.split(without_code(text)) if (plain := _plain(one)))


class Echo:
    """Finds sentences of worked examples; `texts` has one text for each example."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = Counter(one for text in texts for one in dict.fromkeys(sentences(text)))
        self._sentences = [one for one, number in found.items() if number == 1 and _is_long(one)]

    def find(self, text: str, own: str = "") -> str:
        """The first lifted sentence in a text, "" if none; sentences of `own`, the row's task, are not lifted."""
        plain, task = f" {_plain(without_code(text))} ", f" {_plain(own)} "
        return next((one for one in self._sentences if f" {one} " in plain and f" {one} " not in task), "")


def find_echo(text: str, examples: Sequence[dict[str, str]], tags: Sequence[str], own: str = "") -> str:
    """The first sentence in a text that is lifted from these sections of the examples in its prompt, "" if none."""
    return _echo(tuple("\n".join(example[tag] for tag in tags) for example in examples)).find(text, own)


@lru_cache(maxsize=256)
def _echo(texts: tuple[str, ...]) -> Echo:
    return Echo(texts)


def _is_long(sentence: str) -> bool:
    return len(sentence) >= _LEAST_CHARACTERS and len(sentence.split()) >= _LEAST_WORDS


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
