"""How much room a text takes in a picture: SVG breaks no lines, so a text is cut to its room before it is drawn."""

from __future__ import annotations

from selfcodealign.pages.code import make_visible

#: Letters that are narrow, capital and broad; the others of ASCII are usual, and the rest may be as wide as high.
_NARROW = frozenset("ijlfrt.,:;'|!()[] -")
_CAPITAL = frozenset("ABCDEFGHIJKLNOPQRSTUVXYZ<>&+=#")
_BROAD = frozenset("mwMW@%…")
#: Their widths in a wide system font of 13 units, with a reserve.
_WIDTHS = {"narrow": 5.8, "usual": 8.4, "capital": 11.2, "broad": 13.4, "other": 15.0}
#: Letters of a text that are looked at.
_MOST = 200


def measure_text(text: str) -> float:
    """The most that a text is wide, in units of a picture with a font of 13 units."""
    return sum(map(_measure_letter, text))


def fit_text(text: str, room: float) -> str:
    """A text with its invisible characters made visible, cut so that it has room.

    >>> fit_text("needs_module_names", 60)
    'needs…'
    """
    shown = make_visible(text[:_MOST])
    if measure_text(shown) <= room:
        return shown
    left = room - measure_text("…")
    for place, letter in enumerate(shown):
        left -= _measure_letter(letter)
        if left < 0:
            return shown[:place] + "…"
    return shown


def _measure_letter(letter: str) -> float:
    if letter in _NARROW:
        return _WIDTHS["narrow"]
    if letter in _CAPITAL:
        return _WIDTHS["capital"]
    if letter in _BROAD:
        return _WIDTHS["broad"]
    return _WIDTHS["usual" if letter.isascii() else "other"]
