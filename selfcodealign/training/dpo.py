"""Direct preference optimization, from pairs to model folder, top to bottom; the loop is TRL's DPOTrainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import Sampler
from trl import DPOConfig, DPOTrainer

from selfcodealign.settings import DpoSettings
from selfcodealign.training.batching import draw_rows, split_step
from selfcodealign.training.events import Note, OnProgress, TrainResult
from selfcodealign.training.job import (
    Job,
    Opened,
    claim,
    describe_split,
    finish,
    history,
    open_job,
    open_model,
    refuse_several_devices,
    run_to_end,
)
from selfcodealign.training.preferences import Pairs, TokenPair, load_pairs, prove_pairs, tokenize_pairs
from selfcodealign.training.trainers import TellSteps, choose_optimizer, quiet, settle_callbacks, shared_arguments
from selfcodealign.training.weights import choose_adapters

#: What is told of each step: name → TRL's. The reward of an answer is beta times how much more probable the model
#: finds it than the one it began as; the margin is the reward of the chosen answer less that of the rejected one.
FIGURES = {"margin": "rewards/margins", "accuracy": "rewards/accuracies"}


class PairOrder(Sampler[int]):
    """The pairs of all steps in sequence, so that a resumed run skips trained pairs by counting."""

    def __init__(self, pairs: int, steps: int, batch: int, seed: int) -> None:
        self.pairs, self.total, self.seed = pairs, steps * batch, seed

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        return islice(draw_rows(self.pairs, self.seed), self.total)


class PairTrainer(DPOTrainer):
    """DPOTrainer on pairs that are already tokenized and proven, in planned order."""

    def __init__(self, *args: Any, order: PairOrder, **kwargs: Any) -> None:
        self._order = order
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: `report` writes it once, with the result."""


def train_pairs(
    dataset: str | Path, model: str, out: Path, settings: DpoSettings, on_progress: OnProgress, *, fresh: bool
) -> TrainResult:
    """Train on pairs in this process. Raises the same errors as `training.train_dpo`."""
    with quiet():
        job = open_job(model, out, settings, on_progress)
        refuse_several_devices(job)
        pairs = load_pairs(dataset)
        done = claim(job, pairs.digest, {}, fresh=fresh)
        if done is not None:
            return done
        opened = open_model(job, packing=False, longest=settings.max_tokens)
        rows, dropped = tokenize_pairs(pairs.rows, opened.chat, opened.longest, settings.bad_rows)
        proof = prove_pairs(rows, opened.chat, settings.proof_rows)
        _tell_pairs(rows, dropped, opened.longest, job.tell)
        job.tell(proof)
        steps = settings.max_steps or -(-settings.epochs * len(rows) // settings.batch)
        micro_batch = split_step(
            settings.batch, settings.micro_batch, sum(map(len, rows)) / len(rows), job.device, "dpo"
        )
        order = PairOrder(len(rows), steps, settings.batch, settings.seed)
        trainer = _assemble(job, opened, rows, order, steps, micro_batch, settings)
        totals = _count_tokens(rows, order, settings.batch)
        telling = TellSteps(len(rows) / settings.batch, lambda step, logs: totals[step - 1], job.tell, FIGURES)
        trainer.add_callback(telling)
        run_to_end(job, trainer)
        told = history(trainer, FIGURES)
        first, last = told[0], told[-1]
        figures = {
            f"{which}_{name}": step[name] for which, step in (("first", first), ("last", last)) for name in FIGURES
        }
        result = {
            "rows": len(rows),
            "dropped": dropped,
            "tokens": sum(map(len, rows)),
            "loss_tokens": sum(row.answer_tokens for row in rows),
            "figures": figures,
        }
        about = _describe(pairs, result, steps, settings) | {
            "split": describe_split(job, trainer, micro_batch, settings.batch // micro_batch, 1)
        }
        return finish(job, trainer, opened, telling, proof, result, about)


def _tell_pairs(rows: Sequence[TokenPair], dropped: dict[str, int], longest: int, tell: OnProgress) -> None:
    text = f"{len(rows)} pairs, {sum(map(len, rows)):,} tokens, {sum(row.answer_tokens for row in rows):,} compared"
    if dropped:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        text += f"; left out: {counts} (prompt and answer may have {longest} tokens)"
    tell(Note(text))


def _count_tokens(rows: Sequence[TokenPair], order: PairOrder, batch: int) -> list[tuple[int, int]]:
    """Count the tokens of each step, and those that are compared."""
    drawn = list(order)
    counts = [(len(row), row.answer_tokens) for row in rows]
    return [
        (sum(counts[row][0] for row in step), sum(counts[row][1] for row in step))
        for step in (drawn[start : start + batch] for start in range(0, len(drawn), batch))
    ]


def _assemble(
    job: Job,
    opened: Opened,
    rows: Sequence[TokenPair],
    order: PairOrder,
    steps: int,
    micro_batch: int,
    settings: DpoSettings,
) -> PairTrainer:
    from datasets import Dataset

    trainer = PairTrainer(
        model=opened.network,
        args=DPOConfig(
            num_train_epochs=1,
            max_steps=steps,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=settings.batch // micro_batch,
            max_length=None,
            beta=settings.beta,
            loss_type=[settings.loss],
            label_smoothing=settings.label_smoothing,
            save_steps=settings.checkpoint_steps or max(1, len(rows) // settings.batch),
            **shared_arguments(settings, job.checkpoints, job.device, mixed=job.mixed),
        ),
        train_dataset=Dataset.from_list([row.as_columns() for row in rows]),
        processing_class=opened.chat.tokenizer,
        peft_config=choose_adapters(settings),
        order=order,
    )
    trainer.optimizer_cls_and_kwargs = choose_optimizer(settings)
    settle_callbacks(trainer, job.checkpoints)
    return trainer


def _describe(pairs: Pairs, result: dict[str, Any], steps: int, settings: DpoSettings) -> dict[str, Any]:
    figures = result["figures"]
    return {
        "dataset": pairs.source,
        "dataset_digest": pairs.digest,
        "figures": {
            "Tokens": f"{result['tokens']:,}, {result['loss_tokens']:,} of them compared",
            "Steps": f"{steps} of {settings.batch} pairs",
            "Reward margin": f"{figures['first_margin']:.4f} → {figures['last_margin']:.4f}",
            "Accuracy": f"{figures['first_accuracy']:.1%} → {figures['last_accuracy']:.1%} of the pairs of a step",
        },
    }
