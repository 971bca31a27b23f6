"""Train the embedded base model from scratch, on two CPU cores or one GPU; a stopped training resumes.

    python -m tiny.train --minutes 100                  # about 20 million tokens on two shared cores
    python -m tiny.train --minutes 10 --device cuda     # a larger batch; other processes write the corpus

The corpus streams: another process writes the next part during training, so no document comes twice. The learning rate
is constant and then falls to zero over the last 30 % of `--minutes` (counted over all starts). An average of the
weights over the last few hundred steps is kept too, so that every checkpoint is usable.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tiny.corpus import END, WINDOW, make_windows
from tiny.model import new_model
from tiny.muon import Muon
from tiny.tokens import TAGS, train_tokenizer

PART_TOKENS = 300_000
SNIPPET_WEIGHT = 0.15  # real functions are context, not text to memorize
CONCEPT_WEIGHT = 4.0  # a few tokens teach what to look for in a hundred
DECAY = 0.3


def make_part(folder: str, number: int, tokens: int) -> Any:
    """Make part `number` of the corpus as token windows; runs in a separate process."""
    from tokenizers import Tokenizer

    os.environ["RAYON_NUM_THREADS"] = "1"
    return make_windows(number, tokens, Tokenizer.from_file(f"{folder}/tokenizer.json"))


def stream_batches(folder: Path, first: int, size: int, tokens: int, makers: int) -> Iterator[tuple[int, Any]]:
    """Yield endless batches of windows with the number of their part; parts are made ahead."""
    import numpy

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(makers, mp_context=context) as pool:
        ahead = [pool.submit(make_part, str(folder), first + place, tokens) for place in range(makers)]
        number = first
        while True:
            windows = ahead.pop(0).result()
            ahead.append(pool.submit(make_part, str(folder), number + makers, tokens))
            order = numpy.random.default_rng(number).permutation(len(windows))
            for start in range(0, len(order) - size + 1, size):
                yield number, windows[order[start : start + size]]
            number += 1


def weigh_tokens(batch: Any, tags: tuple[int, int, int]) -> Any:
    """Weigh target tokens: snippets little, concepts much. `batch` [b, WINDOW + 1] → float [b, WINDOW].

    `tags` are the tokens that open a snippet, close it, open its concepts, and close them.
    """
    opened, turned, closed = ((batch == tag).cumsum(1)[:, :-1] for tag in tags)
    return 1.0 - (1.0 - SNIPPET_WEIGHT) * (opened > turned).float() + (CONCEPT_WEIGHT - 1.0) * (turned > closed).float()


def read_tags(tokenizer: Any) -> tuple[int, int, int]:
    """Return the `tags` for `weigh_tokens`."""
    opening, turning, closing = (tokenizer.encode(tag, add_special_tokens=False).ids[0] for tag in TAGS[1:4])
    return opening, turning, closing


def loss_of(model: Any, batch: Any, weights: Any, device: str) -> Any:
    """Return the weighted mean cross-entropy of the next token, computed in bf16."""
    import torch

    with torch.autocast(device, dtype=torch.bfloat16):
        hidden = model.model(input_ids=batch[:, :-1], use_cache=False).last_hidden_state
        logits = torch.nn.functional.linear(hidden, model.lm_head.weight)
    losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


class Trainer:
    """Model, optimizers and clock: the state in a checkpoint."""

    def __init__(self, folder: Path, minutes: float, device: str, rates: tuple[float, float] = (0.02, 0.004)) -> None:
        import torch

        self.folder, self.seconds, self.device = folder, minutes * 60, device
        self.model = new_model().to(device)
        matrices = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.muon = Muon(matrices, rates[0])
        self.adam = torch.optim.AdamW(others, rates[1], betas=(0.9, 0.95), weight_decay=0.0)
        self.rates = rates
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.step, self.tokens, self.part, self.elapsed = 0, 0, 0, 0.0
        if (folder / "state.pt").exists():
            self.load()

    def load(self) -> None:
        import torch

        state = torch.load(self.folder / "state.pt", map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.muon.load_state(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.average = state["average"]
        self.step, self.tokens, self.part, self.elapsed = state["progress"]

    def save(self) -> None:
        """Write the whole state and the averaged weights, each file atomically."""
        import torch

        progress = (self.step, self.tokens, self.part, self.elapsed)
        state = {"model": self.model.state_dict(), "average": self.average, "muon": self.muon.state()}
        torch.save({**state, "adam": self.adam.state_dict(), "progress": progress}, self.folder / "state.tmp")
        (self.folder / "state.tmp").rename(self.folder / "state.pt")

    def scale(self) -> float:
        """Return the current share of the learning rate: warm-up over 60 steps, constant, then down to zero."""
        left = 1.0 - self.elapsed / self.seconds
        return min(1.0, (self.step + 1) / 60) * min(1.0, max(left, 0.0) / DECAY)

    def update(self, loss_function: Any, batch: Any, weights: Any) -> float:
        """Train one step; return the loss."""
        import torch

        loss = loss_function(self.model, batch, weights, self.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        scale = self.scale()
        self.muon.step(self.rates[0] * scale)
        for group in self.adam.param_groups:
            group["lr"] = self.rates[1] * scale
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += batch.shape[0] * WINDOW
        # The average covers more steps as training proceeds, at most about 200.
        keep = min(0.995, 1.0 - 4.0 / (self.step + 4))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1.0 - keep)
        return float(loss.detach())


def train(
    folder: Path, minutes: float, device: str = "cpu", batch_size: int = 12, compiled: bool = True, makers: int = 1,
    part_tokens: int = PART_TOKENS, save_every: float = 180.0,
) -> list[float]:  # fmt: skip
    """Train until `minutes` of training time are spent; return the losses of this start's steps."""
    import torch
    from tokenizers import Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.json").exists():
        train_tokenizer().save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.token_to_id(END) == 0
    tags = read_tags(tokenizer)
    trainer = Trainer(folder, minutes, device)
    loss_function = torch.compile(loss_of) if compiled else loss_of
    losses: list[float] = []
    # A part in progress is abandoned, so that no window is seen twice.
    first = trainer.part + 1
    batches = stream_batches(folder, first, batch_size, part_tokens, makers)
    last, saved = time.monotonic(), time.monotonic()
    for part, windows in batches:
        batch = torch.from_numpy(windows.astype("int64")).to(device)
        losses.append(trainer.update(loss_function, batch, weigh_tokens(batch, tags)))
        now = time.monotonic()
        # Compiling and waiting for the first part count as one short step; otherwise they would use up the schedule.
        trainer.elapsed += min(now - last, 20.0)
        trainer.part, last = part, now
        if trainer.step % 50 == 0:
            report(trainer, losses)
        if now - saved > save_every or trainer.elapsed >= trainer.seconds:
            trainer.save()
            saved = now
        if trainer.elapsed >= trainer.seconds:
            break
    batches.close()  # type: ignore[attr-defined]
    return losses


def report(trainer: Trainer, losses: list[float]) -> None:
    recent = losses[-50:]
    values = {
        "step": trainer.step,
        "million_tokens": round(trainer.tokens / 1e6, 2),
        "minutes": round(trainer.elapsed / 60, 1),
        "loss": round(sum(recent) / len(recent), 4),
        "rate": round(trainer.scale(), 3),
    }
    print(json.dumps(values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--minutes", type=float, default=100.0, help="training time over all starts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-size", type=int, default=12, help="windows per step (cuda: 64 or more)")
    parser.add_argument("--makers", type=int, default=1, help="processes that write the corpus (cuda: one per core)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    train(options.folder, options.minutes, options.device, options.batch_size, not options.no_compile, options.makers)


if __name__ == "__main__":
    main()
