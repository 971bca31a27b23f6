"""Recognise a text that repeats itself, while it is being written.

Weak models fall into loops and write the same lines until the token limit. Such an answer is dropped in any case;
ending it early saves its tokens.
"""

from __future__ import annotations

import zlib

#: Tokens between two looks at a text under way.
EVERY_TOKENS = 32
#: The end of the text that is looked at, in characters; a shorter text is no loop yet.
_WINDOW = 400
#: A window that compresses below this share of its size repeats itself.
_COMPRESSED = 0.25


def repeats(text: str) -> bool:
    """Return whether the text ends in a loop: its last 400 characters compress to less than a quarter.

    >>> repeats("The function returns the sum of the numbers. " * 10)
    True
    """
    window = text[-_WINDOW:]
    if len(window) < _WINDOW:
        return False
    return len(zlib.compress(window.encode("utf-8", "surrogatepass"), 9)) < _COMPRESSED * len(window)
