"""Detokenize completions and detect stop strings without decoding the whole completion at every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Prompt tokens decoded before the completion, because some tokenizers drop a leading space.
_CONTEXT = 4

Decode = Callable[[list[int]], str]


class Detokenizer:
    """Decodes completions and detects stop strings; one for all rows of a model.

    `decode` turns token ids into text without special tokens.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._ending: dict[tuple[str, ...], dict[int, bool]] = {}

    def read(self, ids: Sequence[int], prompt_length: int) -> str:
        """Return the completion: exactly what decoding prompt and completion together adds to the prompt."""
        context = list(ids[max(0, prompt_length - _CONTEXT) : prompt_length])
        before, whole = self._decode(context), self._decode([*context, *ids[prompt_length:]])
        if whole.startswith(before):
            return whole[len(before) :]
        # The prompt ended inside a character of several bytes, which the completion completed.
        return self._decode(list(ids[prompt_length:]))

    def ends(self, ids: Sequence[int], prompt_length: int, stop: tuple[str, ...]) -> bool:
        """Return whether the last token completes a stop string in the completion."""
        if not stop:
            return False
        ending = self._ending.setdefault(stop, {})
        may_end = ending.get(ids[-1])
        if may_end is None:
            piece = self._decode([ids[-1]])  # decoded alone, it may lose its leading space
            may_end = ending[ids[-1]] = any(can_end(piece, mark) or can_end(" " + piece, mark) for mark in stop)
        if not may_end:
            return False
        # A token has at least one byte, so these tokens hold any stop string; the margin is for special tokens in
        # between, which decode to nothing.
        longest = max(len(mark.encode()) for mark in stop)
        start = max(prompt_length, len(ids) - longest - 8)
        tail = self.read(ids[max(0, start - _CONTEXT) :], start - max(0, start - _CONTEXT))
        return any(mark in tail for mark in stop)


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """Cut a text at its first stop string."""
    places = [place for mark in stop if (place := text.find(mark)) >= 0]
    return text[: min(places)] if places else text


def can_end(piece: str, mark: str) -> bool:
    """Return whether a token with text `piece` can complete `mark`.

    It can if the piece holds the last character of `mark` and the text before that character agrees with `mark`. A
    piece with bytes of an unfinished character always can, and so can an empty piece, which may be a space.
    """
    if not piece or "\ufffd" in piece:
        return True
    places = [place for place, character in enumerate(piece) if character == mark[-1]]
    return any(mark.endswith(piece[: place + 1]) or piece[: place + 1].endswith(mark) for place in places)
