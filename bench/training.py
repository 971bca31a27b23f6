"""Training throughput against a plain Hugging Face Trainer that pads, on the same rows, in one run.

    python bench/training.py                           # the embedded model, functions of the standard library
    python bench/training.py --random 0.5b --peak 790  # 0.5 B random weights on a GPU; share of its peak TFLOP/s
    python bench/training.py --rows 500 --rounds 3

Both sides train the same model on the same rows in the same precision and rows per step, and take turns. The plain side
draws rows at random and pads each forward pass of 8 to its longest row. Tokens are those of the rows, padding not
counted; useful ones carry loss. "Allowed" is the factor that doing away with padding alone can give: tokens with
padding over tokens. Time is process time on a CPU (others may share the cores) and wall time on a GPU; the first step
of each turn is left out.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from selfcodealign.recipe import TrainSettings
from selfcodealign.training import Step, train
from selfcodealign.training.batching import BatchPlan
from selfcodealign.training.chat import open_chat
from selfcodealign.training.conversations import load_conversations
from selfcodealign.training.loop import quiet
from selfcodealign.training.masking import TokenRow, mask_rows
from selfcodealign.training.weights import load_tokenizer, locate_model

PADDED_PASS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--random", choices=["0.5b", "1b"], help="random weights of this size, the model's tokenizer")
    parser.add_argument("--data", help="rows to train on instead of the standard library's functions")
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peak", type=float, help="the device's peak in TFLOP/s, dense bfloat16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_random(options, folder) if options.random else locate_model(options.model)
    chat = open_chat(load_tokenizer(model), "plain")
    from transformers import AutoConfig

    window = AutoConfig.from_pretrained(model).max_position_embeddings
    data = options.data or write_rows(folder / "rows.jsonl", options.rows)
    rows = mask_rows(load_conversations(data).rows, chat, min(window, 1280), "drop").rows
    settings = TrainSettings(
        max_tokens=min(window, 1280), bad_rows="drop", device=device, epochs=1, batch=options.batch
    )
    kept = folder / "kept.jsonl"
    conversations = load_conversations(data).rows
    kept.write_text("".join(json.dumps({"messages": conversations[row.number]}) + "\n" for row in rows))
    clock = time.process_time if device == "cpu" else _synchronized
    print(f"{len(rows)} rows of {sum(map(len, rows)) / len(rows):.0f} tokens (longest {max(map(len, rows))}), {device}")
    ours, plain = [], []
    for turn in range(options.rounds):
        plain.append(plain_round(model, rows, chat.tokenizer, folder / f"plain{turn}", settings, clock))
        ours.append(our_round(kept, model, folder / f"ours{turn}", settings, clock))
    tell(rows, plain, ours, options, model)


def our_round(data: Path, model: str, out: Path, settings: TrainSettings, clock: Callable[[], float]) -> list[float]:
    """Seconds of each step after the first."""
    times: list[float] = []
    train(data, model, out, settings, lambda event: times.append(clock()) if isinstance(event, Step) else None)
    shutil.rmtree(out)
    return [after - before for before, after in pairwise(times)]


def plain_round(
    model: str, rows: list[TokenRow], tokenizer: Any, out: Path, settings: TrainSettings, clock: Callable[[], float]
) -> list[float]:
    """Seconds of each step after the first, of transformers' own Trainer with padding."""
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
    device = settings.device

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
            data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [after - before for before, after in pairwise(times)]


def tell(
    rows: list[TokenRow], plain: list[list[float]], ours: list[list[float]], options: argparse.Namespace, model: str
) -> None:
    tokens = sum(map(len, rows)) / len(rows) * options.batch
    useful = sum(label >= 0 for row in rows for label in row.labels) / len(rows) * options.batch
    speeds = {}
    for name, rounds in (("plain Trainer, padded", plain), ("selfcodealign train", ours)):
        seconds = statistics.median(second for steps in rounds for second in steps)
        speeds[name] = tokens / seconds
        share = f", {share_of_peak(model, tokens / seconds, options.peak):.0%} of the peak" if options.peak else ""
        print(f"{name:22} {tokens / seconds:9,.0f} tokens/s {useful / seconds:9,.0f} useful tokens/s{share}")
    factor = speeds["selfcodealign train"] / speeds["plain Trainer, padded"]
    print(f"factor {factor:.2f}; doing away with padding allows {padding(rows):.2f}")


def padding(rows: list[TokenRow]) -> float:
    """Tokens with padding over tokens, for passes of PADDED_PASS rows drawn at random."""
    lengths = [len(row) for row in rows]
    order = list(BatchPlan(lengths, 1, 1, 1, 0).steps(0))
    passes = [[lengths[row[0]] for row in order[i : i + PADDED_PASS]] for i in range(0, len(order), PADDED_PASS)]
    return sum(len(one) * max(one) for one in passes) / sum(lengths)


def share_of_peak(model: str, tokens_per_second: float, peak: float) -> float:
    """Arithmetic of forward and backward (6 operations per weight and token, attention left out) over the peak."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        from transformers import AutoConfig

        weights = sum(
            p.numel() for p in AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).parameters()
        )
    return 6 * weights * tokens_per_second / (peak * 1e12)


def make_random(options: argparse.Namespace, folder: Path) -> str:
    """A Llama of random weights with the tokenizer of `--model`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, layers, heads = {"0.5b": (1024, 28, 16), "1b": (2048, 16, 32)}[options.random]
    tokenizer = load_tokenizer(locate_model(options.model))
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
    """Functions of the standard library with their first docstring line as the instruction."""
    found: list[dict[str, str]] = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = file.read_text("utf-8", errors="replace")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node)):
                code = ast.get_source_segment(source, node) or ""
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
