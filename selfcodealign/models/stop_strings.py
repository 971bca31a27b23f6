"""The text of the tokens written so far, and whether a stop string has appeared, without decoding it all each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: How many tokens of the prompt give the first written token its context: some tokenizers drop a leading space else.
_CONTEXT = 4

Decode = Callable[[list[int]], str]


class Detokenizer:
    """Decodes what a row wrote after its prompt, and watches for stop strings; one for all rows of a model.

    `decode` turns token ids into text without special tokens.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._ending: dict[tuple[str, ...], dict[int, bool]] = {}

    def read(self, ids: Sequence[int], prompt_length: int) -> str:
        """The text after the prompt: exactly what decoding prompt and continuation together adds to the prompt."""
        context = list(ids[max(0, prompt_length - _CONTEXT) : prompt_length])
        before, whole = self._decode(context), self._decode([*context, *ids[prompt_length:]])
        if whole.startswith(before):
            return whole[len(before) :]
        # The prompt ended inside a character of several bytes, which the continuation completed.
        return self._decode(list(ids[prompt_length:]))

    def ends(self, ids: Sequence[int], prompt_length: int, stop: tuple[str, ...]) -> bool:
        """Whether the last token completes a stop string in the text after the prompt."""
        if not stop:
            return False
        ending = self._ending.setdefault(stop, {})
        may_end = ending.get(ids[-1])
        if may_end is None:
            piece = self._decode([ids[-1]])  # alone, it may have lost the space it opens with
            may_end = ending[ids[-1]] = any(can_end(piece, mark) or can_end(" " + piece, mark) for mark in stop)
        if not may_end:
            return False
        # A token has a byte at least, so these hold every stop string whole (special tokens, which decode to
        # nothing, may lie between: hence the margin).
        longest = max(len(mark.encode()) for mark in stop)
        start = max(prompt_length, len(ids) - longest - 8)
        tail = self.read(ids[max(0, start - _CONTEXT) :], start - max(0, start - _CONTEXT))
        return any(mark in tail for mark in stop)


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first stop string in it."""
    places = [place for mark in stop if (place := text.find(mark)) >= 0]
    return text[: min(places)] if places else text


def can_end(piece: str, mark: str) -> bool:
    """Whether a token with text `piece` can be the one that completes `mark`.

    The last character of `mark` lies in the piece, and what precedes it there agrees with `mark`. A piece with bytes
    of an unfinished character can always, and so can one that alone decodes to nothing: it may be a space.
    """
    if not piece or "\ufffd" in piece:
        return True
    places = [place for place, character in enumerate(piece) if character == mark[-1]]
    return any(mark.endswith(piece[: place + 1]) or piece[: place + 1].endswith(mark) for place in places)
