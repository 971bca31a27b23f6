"""Compare the throughput of the decode loop with transformers' `generate`, alternating in one run.

    .venv/bin/python bench/models.py [--model embedded] [--tasks 24] [--samples 8] [--batch 64] [--threads 1]

Prompts and sampling are those of the responses stage (one worked example, T = 0.7); the model decides the lengths of
its responses. `generate` gets batches of the same size, padded on the left, and waits for the longest response of each
batch. Rates are per second of wall time and, because other programs may share the machine, per second of CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from importlib import resources
from typing import Any

from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.prompts import lay_out, stop_strings
from selfcodealign.models import Sampling
from selfcodealign.models.local import LocalModel
from selfcodealign.settings import ModelSettings

WANTED = ("response", "tests")
SAMPLING = Sampling(temperature=0.7, max_tokens=160, stop=stop_strings(WANTED))


def write_prompts(count: int) -> list[str]:
    """Write prompts of the responses stage for tasks of tiny-eval."""
    example = load_few_shot("tiny").examples[0]
    sections = {tag: getattr(example, tag) for tag in ("instruction", *WANTED)}
    lines = (resources.files("selfcodealign") / "embedded" / "tiny_eval.jsonl").read_text("utf-8").splitlines()
    tasks = [json.loads(line)["instruction"] for line in lines[:count]]
    return [lay_out("", [sections], {"instruction": task}, WANTED) for task in tasks]


class Clock:
    """Wall time and CPU time of a block."""

    def __enter__(self) -> Clock:
        self.wall, self.processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wall, self.processor = time.perf_counter() - self.wall, time.process_time() - self.processor


async def answer_with_ours(settings: ModelSettings, prompts: list[str], samples: int) -> tuple[Clock, int, int]:
    """Sample all responses with `LocalModel`; return time, samples, tokens."""
    async with LocalModel(settings) as model:
        limit = asyncio.Semaphore(model.concurrency)

        async def ask(prompt: str, seed: int) -> int:
            async with limit:
                return (await model.complete(prompt, SAMPLING, seed=seed)).completion_tokens

        await ask(prompts[0], 0)
        with Clock() as clock:
            calls = [ask(prompt, seed) for prompt in prompts for seed in range(samples)]
            tokens = await asyncio.gather(*calls)
    return clock, len(tokens), sum(tokens)


def answer_with_generate(name: str, prompts: list[str], samples: int, batch: int) -> tuple[Clock, int, int]:
    """Sample all responses with `generate` and the same stop strings; return time, samples, tokens up to the stop."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfcodealign.models.revisions import locate_folder

    source = str(locate_folder(name) or name)
    tokenizer: Any = AutoTokenizer.from_pretrained(source, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    texts = [prompt for prompt in prompts for _ in range(samples)]
    written = 0
    with Clock() as clock:
        for start in range(0, len(texts), batch):
            inputs = tokenizer(texts[start : start + batch], return_tensors="pt", padding=True)
            inputs.pop("token_type_ids", None)
            rows = model.generate(
                **inputs,
                do_sample=True,
                temperature=SAMPLING.temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=SAMPLING.max_tokens,
                stop_strings=list(SAMPLING.stop),
                tokenizer=tokenizer,
            )
            new = rows[:, inputs["input_ids"].shape[1] :]
            written += int((new != tokenizer.pad_token_id).sum())
    return clock, len(texts), written


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    prompts = write_prompts(options.tasks)
    settings = ModelSettings(name=options.model, device="cpu", batch_size=options.batch, threads=options.threads)
    results = {
        "transformers generate": answer_with_generate(options.model, prompts, options.samples, options.batch),
        "selfcodealign local": asyncio.run(answer_with_ours(settings, prompts, options.samples)),
    }
    print(f"{'':24}{'samples/s':>11}{'tokens/s':>10}{'samples/cpu-s':>15}{'tokens/cpu-s':>14}")
    for name, (clock, samples, tokens) in results.items():
        rates = samples / clock.wall, tokens / clock.wall, samples / clock.processor, tokens / clock.processor
        print(f"{name:24}{rates[0]:11.1f}{rates[1]:10.0f}{rates[2]:15.1f}{rates[3]:14.0f}")
    (plain, samples, _), (ours, _, _) = results.values()
    ratios = plain.wall / ours.wall, plain.processor / ours.processor
    print(f"ours / generate, {samples} samples: {ratios[0]:.1f} x by the clock, {ratios[1]:.1f} x by processor time")


if __name__ == "__main__":
    main()
