"""Measure the pipeline's overhead: samples per second and memory, with an instant model and sandbox.

    python bench/spine.py                      # 20,000 instructions × 10 samples
    python bench/spine.py --instructions 2000

Every sample is laid out, drawn, parsed, recorded with its verdict and written to the run folder; only model and sandbox
are replaced. Memory is measured at a tenth of the rows and at the end, in the same process: it must not grow with the
rows. The baseline is the minimum of any pipeline: one JSON line per sample in one file, without parsing, ids, books or
resume.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.models import Sampling
from selfcodealign.models.scripted import ScriptedModel
from selfcodealign.progress import Progress
from selfcodealign.rows import Instruction, Response, digest
from selfcodealign.run_folder.folder import Description, RunFolder
from selfcodealign.sandbox import Program, Status, Verdict
from selfcodealign.settings import Recipe
from selfcodealign.stages.context import Context
from selfcodealign.stages.responses import Answerer

ANSWER = (
    "```python\ndef total(values):\n    return sum(values)\n```\n</response>\n<tests>\n"
    "```python\nassert total([1, 2]) == 3\nassert total([]) == 0\n```\n"
)


class InstantSandbox:
    """Replaces the sandbox in this benchmark: verdicts by number; no program runs."""

    def __init__(self) -> None:
        self.programs = 0

    async def run(self, program: Program) -> Verdict:
        self.programs += 1
        status = Status.PASSED if self.programs % 10 == 0 else Status.FAILED
        await asyncio.sleep(0)
        return Verdict(status=status, error_type="AssertionError", message="assert total([1, 2]) == 3", seconds=0.01)


def instructions(count: int) -> Iterator[Instruction]:
    for number in range(count):
        yield Instruction(
            seed_id=digest("seed", number),
            source_id=digest("file", number),
            seed="def total(values):\n    return sum(values)\n" * 10,
            function="total",
            origin="bench",
            source_path="bench.py",
            source_line=1,
            commit="",
            licence="Apache-2.0",
            concepts_id=digest("concepts", number),
            concepts=["summation", "lists"],
            instruction_id=digest("instruction", number),
            category="function",
            language="Python",
            difficulty="easy",
            instruction=f"Write a function that adds up the values of a list. Variant {number}.",
        )


def megabytes() -> float:
    """Return the resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def run_spine(count: int, samples: int, folder: Path) -> dict[str, Any]:
    responses = Recipe().responses.model_copy(update={"samples": samples, "stop_after_passes": 0})
    recipe = Recipe(responses=responses)
    model = ScriptedModel(lambda prompt, sampling, seed: ANSWER)
    memory: list[float] = []

    class Watch(Progress):
        done = 0

        def advance(
            self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
        ) -> None:
            self.done += 1
            if self.done in (total // 10, total // 2):
                memory.append(megabytes())

    total = count
    began = time.perf_counter()
    with RunFolder(folder) as run:
        context = Context(recipe, {}, run, given_model=model)
        context.__dict__["sandbox"] = InstantSandbox()
        await context.open_models(["concepts", "instructions"])
        description = Description("Response", "response_id", "instruction_id", None, Response.field_names())
        stage = run.stage("responses", description, Response)
        work = RowWork(stage, Answerer(context), 16, {}, from_outside=True)
        await flow([work], instructions(count), count, flush_seconds=10.0, progress=Watch())
        kept = stage.books().kept
    memory.append(megabytes())
    return {"seconds": time.perf_counter() - began, "kept": kept, "memory": memory}


async def run_floor(count: int, samples: int, path: Path) -> float:
    """Run the baseline: ask the same model for the same samples and append each as a JSON line."""
    model = ScriptedModel(lambda prompt, sampling, seed: ANSWER)
    began = time.perf_counter()
    with path.open("w") as file:
        for row in instructions(count):
            for number in range(samples):
                completion = await model.complete(row.instruction, Sampling(), seed=number)
                file.write(json.dumps(row.fields() | {"completion": completion.text}) + "\n")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=10)
    options = parser.parse_args()
    count, samples = options.instructions, options.samples
    pa.set_memory_pool(pa.system_memory_pool())
    with tempfile.TemporaryDirectory() as folder:
        floor = asyncio.run(run_floor(count // 10, samples, Path(folder) / "floor.jsonl")) * 10
        result = asyncio.run(run_spine(count, samples, Path(folder) / "run"))
    total = count * samples
    at_tenth, at_half, at_end = result["memory"]
    print(f"samples                    {total}")
    print(f"spine                      {total / result['seconds']:.0f} samples/s ({result['seconds']:.1f} s)")
    print(f"JSON lines, nothing else   {total / floor:.0f} samples/s (spine / floor: {result['seconds'] / floor:.1f}×)")
    print(f"memory                     {at_tenth:.0f} MiB at 10 %, {at_half:.0f} at 50 %, {at_end:.0f} at the end")
    print(f"kept                       {result['kept']}")


if __name__ == "__main__":
    main()
