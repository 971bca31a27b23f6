"""Recognise a text that repeats itself, while it is being written.

Weak models fall into loops and write the same lines until the token limit. Such an answer is dropped in any case;
ending it early saves its tokens.
"""

from __future__ import annotations

import zlib

#: Tokens between two looks at a text under way.
EVERY_TOKENS = 32
#: A block of up to `_LONGEST_BLOCK` characters that ends the text `_TIMES` times is a loop, if that makes `_LEAST`
#: characters: rules (`# ------`), indentation and rows of zeros are shorter.
_TIMES, _LONGEST_BLOCK, _LEAST = 4, 400, 160
#: The end of the text that is compressed, in characters, and the share of its size below which it is a loop. One in
#: ten test functions of the standard library has a window below a quarter (lists of asserts, tables), one in 500 below
#: this.
_WINDOW, _COMPRESSED = 1000, 0.12


def repeats(text: str) -> bool:
    """Return whether the text ends in a loop.

    Its end is a block that stands there four times, or its last 1,000 characters compress to less than an eighth
    though they are no block repeated exactly (a counter that goes up, say).

    >>> repeats("The function returns the sum of the numbers. " * 4)
    True
    >>> repeats("assert add(1, 2) == 3\\nassert add(2, 5) == 7\\nassert add(0, 0) == 0\\n")
    False
    """
    return _ends_in_blocks(text) or _is_compressible(text[-_WINDOW:])


def _ends_in_blocks(text: str) -> bool:
    for size in range(1, min(_LONGEST_BLOCK, len(text) // _TIMES) + 1):
        if text[-1 - size : -size] != text[-1:]:
            continue
        span = max(_TIMES * size, _LEAST)
        end = text[-span:]
        if len(end) == span and end[size:] == end[:-size]:
            return True
    return False


def _is_compressible(window: str) -> bool:
    if len(window) < _WINDOW:
        return False
    data = window.encode("utf-8", "surrogatepass")
    return len(zlib.compress(data, 9)) < _COMPRESSED * len(data)
