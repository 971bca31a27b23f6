"""How long the embedded model is trained, from which weights, and on which corpus."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfcodealign.errors import UserError
from tiny.corpus import USUAL
from tiny.tasks import Mistakes
from tiny.tokens import train_tokenizer


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train, from which weights, and on which corpus.

    `steps`, if given, ends the training in place of `minutes`; `start` is a folder written by `tiny.export`; `rate`
    multiplies the learning rates.
    """

    minutes: float = 100.0
    steps: int | None = None
    start: Path | None = None
    mistakes: Mistakes = USUAL
    rate: float = 1.0

    def share_done(self, step: int, elapsed: float) -> float:
        """Return the share of the training that is done after `step` steps and `elapsed` seconds."""
        return step / self.steps if self.steps else elapsed / (self.minutes * 60)

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint may not change: the hash of the first weights, the corpus and the rate."""
        start = self.start and hashlib.sha256((self.start / "model.safetensors").read_bytes()).hexdigest()
        return {"start": start, "mistakes": asdict(self.mistakes), "rate": self.rate}


def prepare(folder: Path, start: Path | None) -> None:
    """Put the tokenizer into a folder that has none: that of the model to start from, or a new one.

    Raises `UserError` if `start` is no folder that `tiny.export` has written.
    """
    if start:
        missing = [name for name in ("model.safetensors", "tokenizer.json") if not (start / name).exists()]
        if missing:
            raise UserError(f"--start: {start} has no {missing[0]}; name a folder that `python -m tiny.export` wrote")
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "tokenizer.json"
    if own.exists():
        if start and own.read_bytes() != (start / "tokenizer.json").read_bytes():
            raise UserError(f"{own} is another tokenizer than that of --start: name another --folder")
    elif start:
        shutil.copyfile(start / "tokenizer.json", own)
    else:
        train_tokenizer().save(str(own))


def load_start(model: Any, start: Path) -> None:
    """Load the weights of a model folder into `model`. Raises `UserError` for weights of another shape."""
    from safetensors.torch import load_file

    weights = load_file(start / "model.safetensors")
    try:
        # Tied weights are stored once.
        model.load_state_dict({"lm_head.weight": weights["model.embed_tokens.weight"], **weights})
    except (KeyError, RuntimeError):
        raise UserError(f"--start: the weights of {start} have another shape than the embedded model") from None
