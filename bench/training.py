"""Compare training throughput with a plain Hugging Face Trainer that pads, on the same rows, in one run.

    python bench/training.py                           # the embedded model, functions of the standard library
    python bench/training.py --random 0.5b --peak 790  # 0.5 B random weights on a GPU; share of its peak TFLOP/s
    python bench/training.py --rows 500 --rounds 3

Both trainers alternate on the same model, rows, precision and rows per step. The plain Trainer draws rows at random and
pads each forward pass of 8 rows to its longest row.

Tokens are those of the rows, without padding; useful tokens carry loss. "Packing allows" is the ratio of tokens with
and without padding in the plain Trainer's passes: the speed-up if padding cost nothing. Time is CPU time on a CPU
(other programs may share the cores) and wall time on a GPU; the first step of each turn is left out, with its tokens.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import statistics
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set before torch loads: spinning threads would count as CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from selfcodealign.models.chat import open_chat
from selfcodealign.models.revisions import find_source
from selfcodealign.settings import TrainSettings
from selfcodealign.training import Step, train
from selfcodealign.training.batching import BatchPlan
from selfcodealign.training.conversations import load_conversations
from selfcodealign.training.masking import NO_LOSS, TokenRow, mask_rows
from selfcodealign.training.trainers import quiet
from selfcodealign.training.weights import load_tokenizer

PADDED_PASS = 8


@dataclass(frozen=True)
class Turn:
    """One epoch of one trainer without its first step; `spots` counts tokens and padding."""

    seconds: float
    tokens: int
    useful: int
    spots: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument(
        "--random", choices=["0.5b", "1b"], help="use random weights of this size, with the model's tokenizer"
    )
    parser.add_argument("--data", help="train on these rows instead of the standard library's functions")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", type=float, help="the device's peak in TFLOP/s, dense bfloat16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_random(options, folder) if options.random else find_source(options.model, None).location
    chat = open_chat(load_tokenizer(model), "plain")
    from transformers import AutoConfig

    window = AutoConfig.from_pretrained(model).max_position_embeddings
    data = options.data or write_rows(folder / "rows.jsonl", options.rows)
    conversations = load_conversations(data).rows
    rows = mask_rows(conversations, chat, min(window, 1280), "drop").rows
    if len(rows) < 2 * options.batch:
        sys.exit(f"{len(rows)} rows make fewer than two steps of {options.batch}: give more --rows")
    settings = TrainSettings(max_tokens=min(window, 1280), device=device, epochs=1, batch=options.batch)
    kept = folder / "kept.jsonl"
    kept.write_text("".join(json.dumps({"messages": conversations[row.number]}) + "\n" for row in rows))
    clock = time.process_time if device == "cpu" else _synchronized
    print(f"{len(rows)} rows of {sum(map(len, rows)) / len(rows):.0f} tokens (longest {max(map(len, rows))}), {device}")
    ours, plain = [], []
    for turn in range(options.rounds):
        plain.append(plain_turn(model, rows, chat.tokenizer, folder / f"plain{turn}", settings, clock))
        ours.append(our_turn(kept, rows, model, folder / f"ours{turn}", settings, clock))
    tell(plain, ours, options, model)


def our_turn(
    data: Path, rows: list[TokenRow], model: str, out: Path, settings: TrainSettings, clock: Callable[[], float]
) -> Turn:
    times: list[float] = []
    train(data, model, out, settings, lambda event: times.append(clock()) if isinstance(event, Step) else None)
    shutil.rmtree(out)
    lengths = [len(row) for row in rows]
    _, *steps = BatchPlan(lengths, settings.batch, 1, 1, settings.seed).steps(0)
    seen = [rows[i] for step in steps for i in step if i < len(rows)]
    tokens = sum(map(len, seen))
    return Turn(times[-1] - times[0], tokens, sum(map(count_useful, seen)), tokens)


def plain_turn(
    model: str, rows: list[TokenRow], tokenizer: Any, out: Path, settings: TrainSettings, clock: Callable[[], float]
) -> Turn:
    """Train an epoch with transformers' Trainer and padding."""
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForSeq2Seq,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    times: list[float] = []
    passes: list[tuple[int, int, int]] = []
    device = settings.device
    pad = DataCollatorForSeq2Seq(tokenizer, padding=True)

    def collate(examples: list[Any]) -> Any:
        batch = pad(examples)
        useful = int((batch["labels"] != NO_LOSS).sum())
        passes.append((int(batch["attention_mask"].sum()), useful, batch["input_ids"].numel()))
        return batch

    class Clock(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                times.append(clock())

    bf16 = torch.cpu._is_avx512_bf16_supported() if device == "cpu" else True
    with quiet():
        network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        arguments = TrainingArguments(
            str(out),
            num_train_epochs=1,
            per_device_train_batch_size=PADDED_PASS,
            gradient_accumulation_steps=settings.batch // PADDED_PASS,
            optim="adafactor",
            learning_rate=1e-5,
            bf16=bf16,
            use_cpu=device == "cpu",
            gradient_checkpointing=device != "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=device != "cpu",
        )
        trainer = Trainer(
            model=network,
            args=arguments,
            train_dataset=Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows]),
            data_collator=collate,
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    later = passes[settings.batch // PADDED_PASS :]
    return Turn(times[-1] - times[0], *(sum(column) for column in zip(*later, strict=True)))


def count_useful(row: TokenRow) -> int:
    return sum(label != NO_LOSS for label in row.labels)


def tell(plain: list[Turn], ours: list[Turn], options: argparse.Namespace, model: str) -> None:
    for name, turns in (("plain Trainer, padded", plain), ("selfcodealign train", ours)):
        speed = statistics.median(turn.tokens / turn.seconds for turn in turns)
        useful = statistics.median(turn.useful / turn.seconds for turn in turns)
        share = f", {share_of_peak(model, speed, options.peak):.0%} of the peak" if options.peak else ""
        print(f"{name:22} {speed:9,.0f} tokens/s {useful:9,.0f} useful tokens/s{share}")
    factors = [
        (mine.tokens / mine.seconds) / (other.tokens / other.seconds) for other, mine in zip(plain, ours, strict=True)
    ]
    allowed = sum(turn.spots for turn in plain) / sum(turn.tokens for turn in plain)
    rounds = " ".join(f"{factor:.2f}" for factor in factors)
    print(f"factor {statistics.median(factors):.2f} (rounds: {rounds}); packing allows {allowed:.2f}")


def share_of_peak(model: str, tokens_per_second: float, peak: float) -> float:
    """Return model FLOPs utilization: 6 operations per weight and token, without attention, over the peak."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    return 6 * sum(weight.numel() for weight in network.parameters()) * tokens_per_second / (peak * 1e12)


def make_random(options: argparse.Namespace, folder: Path) -> str:
    """Make a Llama of random weights with the tokenizer of `--model`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, layers, heads = {"0.5b": (1024, 28, 16), "1b": (2048, 16, 32)}[options.random]
    tokenizer = load_tokenizer(find_source(options.model, None).location)
    config = LlamaConfig(
        vocab_size=max(len(tokenizer), 32_000),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    home = folder / "random"
    with quiet():
        network: Any = LlamaForCausalLM(config)
        network.to(torch.bfloat16).save_pretrained(home)
        tokenizer.save_pretrained(home)
    return str(home)


def write_rows(path: Path, count: int) -> str:
    """Write functions of the standard library as rows, with the first docstring line as the instruction."""
    found: list[dict[str, str]] = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = file.read_text("utf-8", errors="replace")
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node)):
                code = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                task = f"Write a Python function `{node.name}`. {said.splitlines()[0]}"
                found.append({"instruction": task, "response": f"```python\n{code}\n```"})
    random.Random(0).shuffle(found)
    path.write_text("".join(json.dumps(row) + "\n" for row in found[:count]), "utf-8")
    return str(path)


def _synchronized() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
