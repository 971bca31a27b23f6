"""Tokens per verified example on a real vLLM server: the published schedule, and a run of this package.

    python -m bench.schedule RECIPE --url http://127.0.0.1:8123 --seeds 40 --out FOLDER published ours

The published schedule, written here from its description: each request shows a fresh draw of worked examples; a stage
begins when the one before has ended; every instruction gets all its samples, as one request with `n`; then all answers
are executed. Seeds, prompts' texts, sampling settings and verdicts are those of the package; an example counts when an
answer to its instruction passes. Tokens are the server's: its counters of computed and cached prompt tokens and of
generated tokens, before and after. Between the two the server forgets its prefix cache (start it with
VLLM_SERVER_DEV_MODE=1). A result stays in FOLDER: what is there is told, and not measured again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from selfcodealign import Completion, Program, Recipe, Sampling, Sandbox, load_recipe, run_recipe
from selfcodealign.fences import read_answer, read_tests
from selfcodealign.generation.reading import read_sections
from selfcodealign.models import UnderWay
from selfcodealign.pipeline import make_journey
from selfcodealign.progress import Progress
from selfcodealign.progress.terminal import open_progress
from selfcodealign.rows import Dropped, Instruction, Seed, seed_of
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.stages.concepts import ConceptWriter
from selfcodealign.stages.context import Context
from selfcodealign.stages.instructions import InstructionWriter
from selfcodealign.stages.responses import ask_for_responses

#: The server's counters, by the name of what they count.
COUNTERS = {
    "computed prompt tokens": r'vllm:prompt_tokens_by_source_total\{.*source="local_compute"\} (\S+)',
    "cached prompt tokens": r'vllm:prompt_tokens_by_source_total\{.*source="local_cache_hit"\} (\S+)',
    "generated tokens": r"vllm:generation_tokens_total\{.*\} (\S+)",
}
T = TypeVar("T")
U = TypeVar("U")


class PlainModel:
    """A server, asked one request at a time for each caller, at most `concurrency` at once."""

    def __init__(self, url: str, name: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self._name = name
        self._room = asyncio.Semaphore(concurrency)
        self._client = httpx.AsyncClient(base_url=url, timeout=None)

    async def __aenter__(self) -> PlainModel:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()

    def identity(self) -> dict[str, str]:
        return {"name": self._name, "revision": "unknown", "engine": "vllm"}

    def under_way(self) -> UnderWay:
        return UnderWay()

    async def sample(self, prompt: str, sampling: Sampling, seed: int, count: int) -> list[Completion]:
        """All samples of a prompt, by one request."""
        body = {
            "model": self._name,
            "prompt": prompt,
            "n": count,
            "seed": seed,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": list(sampling.stop),
        }
        async with self._room:
            answer = await self._client.post("/v1/completions", json=body)
        answer.raise_for_status()
        return [Completion(one["text"], one["finish_reason"]) for one in answer.json()["choices"]]

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        return (await self.sample(prompt, sampling, seed, 1))[0]


async def take_all(rows: Iterable[T], work: Callable[[T], Awaitable[Sequence[U | Dropped]]]) -> list[U]:
    """The rows that a stage keeps, once it has ended."""
    made = await asyncio.gather(*(work(row) for row in rows))
    return [one for outcome in made for one in outcome if not isinstance(one, Dropped)]


async def run_published(recipe: Recipe, seeds: Sequence[Seed], url: str, out: Path) -> int:
    """Take seeds through the published schedule; return how many instructions have an answer that passed."""
    # Fresh draws; and all samples, however many pass.
    few_shot, responses = recipe.few_shot.model_copy(update={"draws": 0}), recipe.responses
    recipe = recipe.model_copy(update={"few_shot": few_shot})
    places = make_journey(recipe).places
    async with PlainModel(url, recipe.model.name, recipe.model.concurrency) as model:
        context = Context(recipe, places, RunFolder(out), Progress(), model)
        await context.model.open()
        concepts = await take_all(seeds, ConceptWriter(context))
        instructions: list[Instruction] = await take_all(concepts, InstructionWriter(context))
        print(f"published: {len(concepts)} concept lists, {len(instructions)} instructions", flush=True)
        question = ask_for_responses(context)
        sampling = question.sent_sampling

        async def answer(row: Instruction) -> list[tuple[str, str]]:
            prompt = question.lay_out(row.id, {"instruction": row.instruction})
            drawn = await model.sample(prompt, sampling, seed_of(row.id, "responses"), responses.samples)
            whole = [one.text for one in drawn if one.finish_reason == "stop"]
            read = [read_sections(text, ("response", "tests")).sections for text in whole]
            return [(row.id, json.dumps(sections)) for sections in read if sections]

        answers = await take_all(instructions, answer)
    print(f"published: {len(answers)} answers with tests", flush=True)
    async with Sandbox(workers=recipe.execution.workers) as sandbox:

        async def execute(answer: tuple[str, str]) -> list[str]:
            sections = json.loads(answer[1])
            program = Program(read_answer(sections["response"]).text, read_tests(sections["tests"]).text)
            return [answer[0]] if (await sandbox.run(program)).passed else []

        return len(set(await take_all(answers, execute)))


async def run_ours(recipe: Recipe, out: Path) -> int:
    """Run the package up to its verified answers; return how many instructions have one."""
    with open_progress() as progress:
        await run_recipe(recipe, out, until="responses", progress=progress)
    stage = RunFolder(out).look_at("responses")
    assert stage is not None
    with RunFolder(out).connect() as connection:
        return sum(verified > 0 for _, verified in stage.shards.tally(connection, Instruction.id_field).values())


def read_counters(url: str) -> dict[str, float]:
    text = httpx.get(f"{url}/metrics").text
    return {name: sum(map(float, re.findall(pattern, text))) for name, pattern in COUNTERS.items()}


async def measure(schedule: str, recipe: Recipe, url: str, out: Path) -> dict[str, Any]:
    """Run one schedule, and count what the server did meanwhile."""
    await run_recipe(recipe, out / "ours", until="near_dedup")
    folder = RunFolder(out / "ours").open("near_dedup", Seed)
    seeds = list(folder.shards.rows())
    httpx.post(f"{url}/reset_prefix_cache").raise_for_status()
    before, begun = read_counters(url), time.monotonic()
    if schedule == "published":
        verified = await run_published(recipe, seeds, url, out / "published")
    else:
        verified = await run_ours(recipe, out / "ours")
    counted = {name: round(value - before[name]) for name, value in read_counters(url).items()}
    return {"seeds": len(seeds), "verified": verified, **counted, "seconds": round(time.monotonic() - begun)}


def tell(results: dict[str, dict[str, Any]]) -> None:
    """Print the counts, and per verified example."""
    names = next(iter(results.values()))
    print(f"{'':26}" + "".join(f"{schedule:>14}" for schedule in results))
    for name in names:
        print(f"{name:26}" + "".join(f"{found[name]:14,}" for found in results.values()))
    for name in (*COUNTERS, "seconds"):
        each = [found[name] / found["verified"] if found["verified"] else float("nan") for found in results.values()]
        print(f"{name + ' each':26}" + "".join(f"{value:14,.1f}" for value in each))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--url", required=True)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], help="a setting of both schedules")
    parser.add_argument("schedules", nargs="+", choices=("published", "ours"))
    options = parser.parse_args()
    settings = [f"model.urls={json.dumps([options.url])}", f"seeds.limit={options.seeds}", *options.set]
    recipe = load_recipe(options.recipe, settings)
    results = {}
    for schedule in options.schedules:
        kept = options.out / f"{schedule}.json"
        if not kept.exists():
            options.out.mkdir(parents=True, exist_ok=True)
            found = asyncio.run(measure(schedule, recipe, options.url, options.out))
            kept.write_text(json.dumps(found))
        results[schedule] = json.loads(kept.read_text())
    tell(results)


if __name__ == "__main__":
    main()
