"""Pairs of answers to one prompt, a chosen and a rejected one: loaded, tokenized, and shown.

Prompt and answers are tokenized and proven as supervised rows are (`masking`): the prompt as the tuned model reads it,
each answer with its end token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfcodealign.dataset.export import export_rows
from selfcodealign.errors import TrainingError
from selfcodealign.models.chat import Chat
from selfcodealign.training.conversations import Messages
from selfcodealign.training.events import Proof
from selfcodealign.training.masking import NO_LOSS, TokenRow, choose_proof, mask_each, show_loss
from selfcodealign.training.tables import as_messages, digest_rows, is_run_folder, read_table

COLUMNS = ("prompt", "chosen", "rejected")

_NO_PAIRS = (
    "{run} has no pairs: no example has a failing answer to its instruction beside it. With "
    "responses.stop_after_passes = 0 all answers are drawn, failing ones too: set it and run the recipe again, or give "
    "a .jsonl or .parquet file with prompt, chosen and rejected"
)


@dataclass(frozen=True)
class Pair:
    """A prompt that ends with the user's turn, and two answers."""

    prompt: Messages
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Pairs:
    """Pairs in order, their source, and a digest of their text."""

    rows: list[Pair]
    source: str
    digest: str


@dataclass(frozen=True)
class TokenPair:
    """A tokenized pair; `number` is that of the pair in the data set."""

    number: int
    chosen: TokenRow
    rejected: TokenRow

    def __len__(self) -> int:
        return len(self.chosen) + len(self.rejected)

    @property
    def answer_tokens(self) -> int:
        return sum(len(answer) for answer in self.as_columns().values()) - self.prompt_tokens

    @property
    def prompt_tokens(self) -> int:
        return _answer_place(self.chosen)[0]

    def as_columns(self) -> dict[str, list[int]]:
        """Return what TRL's collator joins: the prompt once, and both answers with their end tokens."""
        start, end = _answer_place(self.chosen)
        begins, ends = _answer_place(self.rejected)
        return {
            "prompt_ids": self.chosen.input_ids[:start],
            "chosen_ids": self.chosen.input_ids[start:end],
            "rejected_ids": self.rejected.input_ids[begins:ends],
        }


def load_pairs(dataset: str | Path) -> Pairs:
    """Load the pairs of a run folder (as `export --to dpo` writes them), or a .jsonl or .parquet file with the columns
    prompt, chosen and rejected, each a text or a list of messages. Raises `TrainingError`."""
    path = Path(dataset)
    if is_run_folder(path):
        found = export_rows(path, "dpo", error=TrainingError)
        if not found:
            raise TrainingError(_NO_PAIRS.format(run=path))
    else:
        found = read_table(path, COLUMNS, "pairs")
    rows = [_read_pair(row, number) for number, row in enumerate(found)]
    return Pairs(rows, str(dataset), digest_rows([[one.prompt, one.chosen, one.rejected] for one in rows]))


def tokenize_pairs(
    pairs: Sequence[Pair], chat: Chat, max_tokens: int, bad_rows: Literal["refuse", "drop"]
) -> tuple[list[TokenPair], dict[str, int]]:
    """Tokenize pairs, and count those left out by reason. Raises `TrainingError`, also if none is left."""
    sides = [
        mask_each([_converse(pair, getattr(pair, side)) for pair in pairs], chat, max_tokens, bad_rows, "dpo")
        for side in ("chosen", "rejected")
    ]
    rows, dropped = [], Counter()
    for number, (chosen, rejected) in enumerate(zip(*sides, strict=True)):
        if isinstance(chosen, str) or isinstance(rejected, str):
            dropped[chosen if isinstance(chosen, str) else str(rejected)] += 1
        else:
            rows.append(TokenPair(number, chosen, rejected))
    if not rows:
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise TrainingError(f"no pair is left to train on ({why}; prompt and answer may have {max_tokens} tokens)")
    return rows, dict(dropped)


def prove_pairs(rows: Sequence[TokenPair], chat: Chat, count: int) -> Proof:
    """Show `count` pairs, decoded from the ids that are trained on, with the compared tokens marked."""
    by_number = {pair.chosen.number: pair for pair in rows}
    shown = [by_number[row.number] for row in choose_proof([pair.chosen for pair in rows], count)]
    sides = [(pair.number, side, row) for pair in shown for side, row in _sides(pair)]
    return Proof(
        [number for number, _, _ in sides],
        [show_loss(_last_answer(row), chat) for _, _, row in sides],
        names=[f"pair {number}, {side}" for number, side, _ in sides],
        says="the log-probability is summed over",
        counted="compared",
    )


def _sides(pair: TokenPair) -> Iterable[tuple[str, TokenRow]]:
    return ("chosen", pair.chosen), ("rejected", pair.rejected)


def _answer_place(row: TokenRow) -> tuple[int, int]:
    """Return where the last answer begins and ends; earlier answers of a conversation belong to the prompt."""
    end = max(place for place, label in enumerate(row.labels) if label != NO_LOSS) + 1
    start = end
    while start and row.labels[start - 1] != NO_LOSS:
        start -= 1
    return start, end


def _last_answer(row: TokenRow) -> TokenRow:
    """Return what is compared of a row: it ends with its last answer, which alone is marked."""
    start, end = _answer_place(row)
    ids = row.input_ids[:end]
    return TokenRow(row.number, ids, [NO_LOSS] * start + ids[start:])


def _converse(pair: Pair, answer: str) -> Messages:
    return [*pair.prompt, {"role": "assistant", "content": answer}]


def _read_pair(row: dict[str, Any], number: int) -> Pair:
    prompt = as_messages(row["prompt"], "user", f"row {number}: prompt")
    if prompt[-1]["role"] != "user":
        raise TrainingError(f"row {number}: prompt has to end with what the user says, not with {prompt[-1]['role']}")
    answers = {}
    for side in ("chosen", "rejected"):
        messages = as_messages(row[side], "assistant", f"row {number}: {side}")
        if messages[: len(prompt)] == prompt:  # some data sets repeat the prompt in both
            messages = messages[len(prompt) :]
        if len(messages) != 1 or messages[0]["role"] != "assistant":
            raise TrainingError(f"row {number}: {side} has to be one answer: a text, or one assistant message")
        answers[side] = messages[0]["content"]
    if answers["chosen"] == answers["rejected"]:
        raise TrainingError(f"row {number}: chosen and rejected are the same: leave the row out")
    return Pair(prompt, answers["chosen"], answers["rejected"])
