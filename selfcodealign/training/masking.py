"""Mask the loss, and prove the mask.

Every response and its end token carry loss; all other tokens carry none. Nothing is assumed: for each row the text
before a response is tokenized alone, as in a prompt to the tuned model, and must equal the first tokens of the whole
row. A row that fails would teach the model a context that never occurs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from selfcodealign.errors import TrainingError
from selfcodealign.models.chat import Chat, check_messages

#: Label of a token without loss (the convention of torch and transformers).
NO_LOSS = -100

_CHUNK = 1000

Reason = Literal["no_loss", "end_token", "boundary"]

_MEANING: dict[Reason, str] = {
    "no_loss": "has no token that carries loss (no answer, or an empty one)",
    "end_token": "does not end its answer with a token that ends generation, so the model would not learn to stop",
    "boundary": "is cut into other tokens when prompt and answer are tokenized together than apart",
}


@dataclass(frozen=True)
class TokenRow:
    """A tokenized row: `labels` equal `input_ids` where a token carries loss, else NO_LOSS."""

    number: int
    input_ids: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class TokenRows:
    """All rows to train on, and the numbers of dropped rows by reason."""

    rows: list[TokenRow]
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(len(row) for row in self.rows)

    @property
    def loss_tokens(self) -> int:
        return sum(label != NO_LOSS for row in self.rows for label in row.labels)


@dataclass(frozen=True)
class Piece:
    """The text of consecutive tokens that all carry loss or all carry none."""

    text: str
    loss: bool
    tokens: int


def mask_rows(
    conversations: Sequence[list[dict[str, str]]],
    chat: Chat,
    max_tokens: int,
    bad_rows: Literal["refuse", "drop"] = "refuse",
) -> TokenRows:
    """Tokenize conversations and put loss on their responses.

    Rows longer than `max_tokens` are dropped and counted as "too_long", never cut. A row that fails the proof raises
    `TrainingError`, or is dropped and counted if `bad_rows` is "drop".
    """
    rows: list[TokenRow] = []
    dropped: Counter[str] = Counter()
    for outcome in mask_each(conversations, chat, max_tokens, bad_rows):
        if isinstance(outcome, TokenRow):
            rows.append(outcome)
        else:
            dropped[outcome] += 1
    if not rows:
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "the data set is empty"
        raise TrainingError(f"no row is left to train on ({why}; a row may have {max_tokens} tokens)")
    return TokenRows(rows, dict(dropped))


def mask_each(
    conversations: Sequence[list[dict[str, str]]],
    chat: Chat,
    max_tokens: int,
    bad_rows: Literal["refuse", "drop"],
    section: str = "train",
) -> Iterator[TokenRow | str]:
    """Yield for each conversation, in order, its row or the reason why it has none. Raises as `mask_rows`; `section` is
    the one whose setting `bad_rows` is."""
    for start in range(0, len(conversations), _CHUNK):
        for number, outcome in _mask_chunk(conversations[start : start + _CHUNK], chat, start):
            if isinstance(outcome, TokenRow):
                yield outcome if len(outcome) <= max_tokens else "too_long"
                continue
            reason, seen = outcome
            if bad_rows == "refuse":
                raise TrainingError(
                    f"row {number} {_MEANING[reason]}: {seen}; correct the data, or set "
                    f'{section}.bad_rows = "drop" to leave such rows out'
                )
            yield reason


def show_loss(row: TokenRow, chat: Chat) -> list[Piece]:
    """Split a row into text with and without loss, decoded from the ids and labels that are trained on."""
    pieces: list[Piece] = []
    start = 0
    for end in range(1, len(row) + 1):
        loss = row.labels[start] != NO_LOSS
        if end == len(row) or (row.labels[end] != NO_LOSS) != loss:
            text = chat.tokenizer.decode(row.input_ids[start:end], clean_up_tokenization_spaces=False)
            pieces.append(Piece(text, loss, end - start))
            start = end
    return pieces


def choose_proof(rows: Sequence[TokenRow], count: int) -> list[TokenRow]:
    """Choose `count` rows to show: the shortest, the longest, and rows evenly spaced between them."""
    ordered = sorted(rows, key=lambda row: (len(row), row.number))
    if count <= 1 or len(ordered) <= count:
        return ordered[: max(count, 0)]
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def _mask_chunk(
    conversations: Sequence[list[dict[str, str]]], chat: Chat, start: int
) -> Iterable[tuple[int, TokenRow | tuple[Reason, str]]]:
    """Mask some rows; all texts are tokenized at once, which is much faster."""
    texts: list[str] = []
    plans: list[tuple[str, list[int]]] = []
    for number, messages in enumerate(conversations, start):
        check_messages(messages, f"row {number}")
        whole = chat.render(messages)
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant" and message["content"]]
        plans.append((whole, answers))
        texts.append(whole)
        for i in answers:
            texts.append(chat.render(messages[:i], answer_next=True))
            texts.append(chat.render(messages[: i + 1]))
    tokens = iter(zip(texts, chat.tokenize(texts), strict=True))
    for number, (_, answers) in enumerate(plans, start):
        whole = next(tokens)
        spans = [(next(tokens), next(tokens)) for _ in answers]
        yield number, _mask_row(number, whole, spans, chat)


_Tokenized = tuple[str, list[int]]


def _mask_row(
    number: int, whole: _Tokenized, spans: list[tuple[_Tokenized, _Tokenized]], chat: Chat
) -> TokenRow | tuple[Reason, str]:
    text, ids = whole
    labels = [NO_LOSS] * len(ids)
    for (before, before_ids), (_, through_ids) in spans:
        if not text.startswith(before):
            return "boundary", f"the template writes {before[-40:]!r} before the answer only when it is asked for one"
        if ids[: len(before_ids)] != before_ids:
            return "boundary", _differing(before_ids, ids, chat)
        first = len(before_ids)
        # The template may add text after the end token (ChatML: a line break); the model stops before it.
        last = next((i for i in range(len(through_ids) - 1, first - 1, -1) if through_ids[i] in chat.end_ids), None)
        behind = chat.tokenizer.decode(through_ids[last + 1 :]) if last is not None else ""
        if last is None or behind.strip() or ids[: last + 1] != through_ids[: last + 1]:
            return "end_token", f"the answer ends with {chat.tokenizer.decode(ids[-8:])!r}"
        labels[first : last + 1] = ids[first : last + 1]
    if all(label == NO_LOSS for label in labels):
        return "no_loss", f"{text[:60]!r}"
    return TokenRow(number, ids, labels)


def _differing(apart: list[int], together: list[int], chat: Chat) -> str:
    pairs = enumerate(zip(apart, together, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(apart), len(together)))
    shown = [chat.tokenizer.decode(ids[at : at + 3]) for ids in (apart, together)]
    return f"{shown[0]!r} apart, {shown[1]!r} together"
