"""A shipped recipe made small, and a model that writes pairs."""

from __future__ import annotations

import json
from pathlib import Path

from selfcodealign import Sampling
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from tests.support.journey import answer, write_sources

#: The part of a shipped recipe's journey that needs neither a type checker nor a device.
ROWS = ["seeds", "near_dedup", "concepts", "instructions", "responses", "selection", "dataset"]


def shipped(name: str, sources: Path, *settings: str) -> Recipe:
    """A recipe of the package as its file has it, on these sources and for little work."""
    return load_recipe(
        name,
        [
            f'seeds.sources=["{sources}"]',
            'seeds.licences=["any"]',
            "seeds.limit=6",
            "near_dedup.jaccard=0.95",
            'decontamination.benchmarks=["tiny-eval"]',
            "selection.near_dedup=[]",
            "execution.workers=2",
            "execution.warm=[]",
            *settings,
        ],
    )


def small(name: str, places: Path, *settings: str, journey: list[str] = ROWS) -> Recipe:
    """A shipped recipe on a few small sources, as data alone."""
    sources = write_sources(places / "sources", 6)
    given = [f'seeds.sources=["{sources}"]', 'seeds.licences=["any"]', "near_dedup.jaccard=0.95"]
    given += ['decontamination.benchmarks=["tiny-eval"]', "execution.warm=[]", "execution.workers=2"]
    given += ["flush_seconds=0.2", 'few_shot.file="tiny"', "concepts.examples=1", "instructions.examples=1"]
    given += [f"journey={json.dumps(journey)}"]
    return load_recipe(name, [*given, *settings])


def answer_with_pairs(prompt: str, sampling: Sampling, seed: int) -> str:
    """As `answer`, but a task comes with its solution, and with tests where the worked examples have them."""
    text = answer(prompt, sampling, seed)
    if not prompt.endswith("<instruction>\n") or "<response>" not in prompt:
        return text
    # Every third solution is wrong.
    added, wrong = seed % 97, int(seed % 3 == 0)
    pair = f"{text}<response>\n```python\ndef task_{seed}(n):\n    return n + {added + wrong}\n```\n</response>\n"
    if "<tests>" not in prompt:
        return pair
    tests = f"assert task_{seed}(0) == {added}\nassert task_{seed}(9) == {added + 9}\n"
    return f"{pair}<tests>\n```python\n{tests}```\n</tests>\n"
