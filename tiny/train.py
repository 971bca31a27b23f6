"""Train the embedded base model from scratch, on two CPU cores or one GPU; a stopped training resumes.

    python -m tiny.train --minutes 100                  # about 20 million tokens on two shared cores
    python -m tiny.train --minutes 10 --device cuda     # a larger batch; other processes write the corpus
    python -m tiny.train --start embedded --steps 400 --rate 0.3 --mistakes 0.3 0.05 --folder checkpoints/stronger

The corpus streams: another process writes the next part during training, so no document comes twice. The learning rate
is constant and then falls to zero over the last 30 % of `--minutes` (counted over all starts) or `--steps`. An average
of the weights over the last few hundred steps is kept too, so that every checkpoint is usable.

`--start` trains the weights of a model folder further, on a corpus with `--mistakes` and `--wrong-tests`: that makes a
generator of other strength with the same tokenizer and prompt layout (docs/embedded-model.md).
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

from selfcodealign.errors import UserError
from tiny.benchmark import EMBEDDED
from tiny.corpus import END, USUAL, WINDOW, make_windows
from tiny.loss import loss_of, read_tags, weigh_tokens
from tiny.model import new_model
from tiny.muon import Muon
from tiny.plan import Plan, load_start, prepare
from tiny.tasks import Mistakes

PART_TOKENS = 300_000
DECAY = 0.3
RATES = (0.02, 0.004)  # Muon, AdamW


def make_part(folder: str, number: int, tokens: int, mistakes: Mistakes) -> Any:
    """Make part `number` of the corpus as token windows; runs in a separate process."""
    from tokenizers import Tokenizer

    os.environ["RAYON_NUM_THREADS"] = "1"
    return make_windows(number, tokens, Tokenizer.from_file(f"{folder}/tokenizer.json"), mistakes=mistakes)


def stream_batches(
    folder: Path, first: int, size: int, tokens: int, makers: int, mistakes: Mistakes
) -> Iterator[tuple[int, Any]]:
    """Yield endless batches of windows with the number of their part; parts are made ahead."""
    import numpy

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(makers, mp_context=context) as pool:
        ahead = [pool.submit(make_part, str(folder), first + place, tokens, mistakes) for place in range(makers)]
        number = first
        while True:
            windows = ahead.pop(0).result()
            ahead.append(pool.submit(make_part, str(folder), number + makers, tokens, mistakes))
            order = numpy.random.default_rng(number).permutation(len(windows))
            for start in range(0, len(order) - size + 1, size):
                yield number, windows[order[start : start + size]]
            number += 1


class Trainer:
    """Model, optimizers and clock: the state in a checkpoint."""

    def __init__(self, folder: Path, plan: Plan, device: str) -> None:
        import torch

        self.folder, self.plan, self.device = folder, plan, device
        self.facts = plan.facts()
        self.model = new_model()
        if plan.start:
            load_start(self.model, plan.start)
        self.model.to(device)
        self.rates = rates = (RATES[0] * plan.rate, RATES[1] * plan.rate)
        matrices = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.muon = Muon(matrices, rates[0])
        self.adam = torch.optim.AdamW(others, rates[1], betas=(0.9, 0.95), weight_decay=0.0)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.step, self.tokens, self.part, self.elapsed = 0, 0, 0, 0.0
        if (folder / "state.pt").exists():
            self.load()

    def load(self) -> None:
        import torch

        state = torch.load(self.folder / "state.pt", map_location=self.device)
        facts = state.get("facts", Plan().facts())
        if facts != self.facts:
            raise UserError(
                f"{self.folder} was trained with {facts}, now asked for {self.facts}: name another --folder, "
                "or the same --start, --mistakes, --wrong-tests and --rate"
            )
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
        state["facts"] = self.facts
        torch.save({**state, "adam": self.adam.state_dict(), "progress": progress}, self.folder / "state.tmp")
        (self.folder / "state.tmp").rename(self.folder / "state.pt")

    def scale(self) -> float:
        """Return the current share of the learning rate: warm-up over 60 steps, constant, then down to zero."""
        left = 1.0 - self.plan.share_done(self.step, self.elapsed)
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
    folder: Path, plan: Plan, device: str = "cpu", batch_size: int = 12, compiled: bool = True, makers: int = 1,
    part_tokens: int = PART_TOKENS, save_every: float = 180.0,
) -> list[float]:  # fmt: skip
    """Train until the plan is done; return the losses of this start's steps.

    Raises `UserError` for a folder that was trained from other weights or on another corpus.
    """
    import torch
    from tokenizers import Tokenizer

    prepare(folder, plan.start)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.token_to_id(END) == 0
    tags = read_tags(tokenizer)
    trainer = Trainer(folder, plan, device)
    if plan.share_done(trainer.step, trainer.elapsed) >= 1:
        return []
    loss_function = torch.compile(loss_of) if compiled else loss_of
    losses: list[float] = []
    # A part in progress is abandoned, so that no window is seen twice.
    first = trainer.part + 1
    batches = stream_batches(folder, first, batch_size, part_tokens, makers, plan.mistakes)
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
        done = plan.share_done(trainer.step, trainer.elapsed) >= 1
        if now - saved > save_every or done:
            trainer.save()
            saved = now
        if done:
            break
    batches.close()  # type: ignore[attr-defined]
    return losses


def report(trainer: Trainer, losses: list[float]) -> None:
    recent = losses[-50:]
    done = trainer.plan.share_done(trainer.step, trainer.elapsed)
    values = {
        "step": trainer.step,
        "million_tokens": round(trainer.tokens / 1e6, 2),
        "minutes": round(trainer.elapsed / 60, 1),
        "minutes_left": round(trainer.elapsed / 60 * (1 / done - 1), 1),
        "loss": round(sum(recent) / len(recent), 4),
        "rate": round(trainer.scale(), 3),
    }
    print(json.dumps(values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--minutes", type=float, default=100.0, help="training time over all starts")
    parser.add_argument("--steps", type=int, help="end after this many steps over all starts, whatever time they take")
    parser.add_argument(
        "--start", metavar="MODEL", help='train these weights further: "embedded" or an exported folder'
    )
    parser.add_argument(
        "--mistakes", type=read_share, nargs=2, default=(USUAL.traps, USUAL.plain), metavar=("TRAPS", "PLAIN"),
        help="shares of wrong solutions of tasks with a trap and of other tasks (default: 0.75 0.15)",
    )  # fmt: skip
    parser.add_argument("--wrong-tests", type=read_share, default=0.0, metavar="SHARE", help="share of wrong tests")
    parser.add_argument("--rate", type=float, default=1.0, help="multiply the learning rates (0.3 for --start)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-size", type=int, default=12, help="windows per step (cuda: 64 or more)")
    parser.add_argument("--makers", type=int, default=1, help="processes that write the corpus (cuda: one per core)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    start = EMBEDDED if options.start == "embedded" else options.start and Path(options.start)
    traps, plain = options.mistakes
    mistakes = Mistakes(traps, plain, options.wrong_tests)
    plan = Plan(options.minutes, options.steps, start, mistakes, options.rate)
    try:
        train(options.folder, plan, options.device, options.batch_size, not options.no_compile, options.makers)
    except UserError as error:
        parser.error(str(error))


def read_share(text: str) -> float:
    """Read a share between 0 and 1."""
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


if __name__ == "__main__":
    main()
