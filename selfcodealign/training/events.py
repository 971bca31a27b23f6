"""The events of a training, and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selfcodealign.training.masking import Piece


@dataclass(frozen=True)
class Note:
    """A sentence for the user."""

    text: str


@dataclass(frozen=True)
class Loading:
    """What takes a while before the next event; not worth a line that stays."""

    text: str


@dataclass(frozen=True)
class Proof:
    """A few rows, split where loss begins and ends; `numbers[i]` is the number of `rows[i]` in the data set.

    `names` names the rows (default: their numbers); `says` is what holds for the marked text, `counted` what its tokens
    are counted as.
    """

    numbers: list[int]
    rows: list[list[Piece]]
    names: list[str] = field(default_factory=list)
    says: str = "loss lies on"
    counted: str = "with loss"

    def name(self, place: int) -> str:
        """Name a row."""
        return self.names[place] if self.names else f"row {self.numbers[place]}"


@dataclass(frozen=True)
class Step:
    """One optimizer step: `loss` is the mean over the loss tokens of its rows, speeds are per second of wall time.

    `useful_tokens_per_second` counts the tokens that carry loss; `seconds_left` is an estimate. `figures` are those of
    the method: margin and accuracy of pairs (dpo), reward, kl and length of answers (grpo).
    """

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    useful_tokens_per_second: float
    seconds_left: float
    figures: dict[str, float] = field(default_factory=dict)


Event = Note | Loading | Proof | Step
OnProgress = Callable[[Event], None]


@dataclass(frozen=True)
class TrainResult:
    """A finished training. `out` is a model folder; `dropped` counts rows left out by reason; times in seconds.

    `method` is sft, dpo or grpo; `rows` are examples, pairs or tasks. `figures` sums up what the method measures, and
    `reasons` counts the sampled answers by their verdict (grpo).
    """

    out: Path
    steps: int
    rows: int
    dropped: dict[str, int]
    tokens: int
    loss_tokens: int
    first_loss: float
    last_loss: float
    seconds: float
    tokens_per_second: float
    useful_tokens_per_second: float
    report: Path
    losses: list[float] = field(default_factory=list)
    method: str = "sft"
    figures: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
