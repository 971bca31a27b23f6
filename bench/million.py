"""Does the memory of a large run stay flat? Instructions from a fast server in another process, through a whole run.

    python -m bench.million                     # 20,000 instructions
    python -m bench.million --rows 1000000 --out /tmp/run

Seeds are made up; `instructions` asks for a task about each through `ServerModel`, and rows go to a run folder. The
run's own telemetry gives the figures: memory of its process, processor time per row, and requests under way out of
those allowed, from the first minute (in a shorter run: the first tenth) to the last 5 % of the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from selfcodealign import run_recipe
from selfcodealign.engine.telemetry import FILE
from selfcodealign.recipe import default_recipe
from selfcodealign.rows import Seed, SourceFile, digest
from selfcodealign.stages import Source
from selfcodealign.stages.context import Context

NAME, ROWS = "stage.instructions.entered_rows", 20_000


def serve(pipe: Connection, seconds: float) -> None:
    """Answer each request after so many seconds, with a task in one chunk, until killed."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
    models = json.dumps({"data": [{"id": "demo", "owned_by": "vllm"}]})

    def respond(kind: str, body: str) -> bytes:
        return head.format(kind, len(body)).encode() + body.encode()

    def answer(number: int) -> bytes:
        text = f"Write a function `task_{number}(values)` that returns the sum of values and {number}.\n"
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        usage = {"prompt_tokens": 900, "completion_tokens": 24, "prompt_tokens_details": {"cached_tokens": 800}}
        chunk = json.dumps({"choices": [choice], "usage": usage})
        return respond("text/event-stream", f"data: {chunk}\n\ndata: [DONE]\n\n")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = id(writer) % 1_000_003
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while header := (await reader.readuntil(b"\r\n\r\n")).lower():
                length = int(header.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                if length:
                    await reader.readexactly(length)
                    await asyncio.sleep(seconds)
                    number = (number * 48271 + 11) % 2147483647
                writer.write(answer(number) if length else respond("application/json", models))
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def numbered(count: int) -> Source:
    """A stage that makes `count` seeds up."""

    def read(context: Context) -> Iterator[SourceFile]:
        return (SourceFile(id=digest("file", n), path=f"{n}.py", text="", origin="bench") for n in range(count))

    async def make(file: SourceFile) -> Sequence[Seed]:
        code = f"def total_{file.path[:-3]}(values):\n" + '    """Return the sum of the values."""\n' * 5
        places: dict[str, Any] = {"source_path": file.path, "source_line": 1, "commit": "", "licence": "MIT"}
        seed = Seed(
            seed_id=digest("s", file.id), source_id=file.id, seed=code, function="total", origin="bench", **places
        )
        return [seed]

    return Source(
        name="numbered",
        gives=Seed,
        decided_by=lambda context: {"count": count},
        build=lambda context: make,
        rows_at_once=lambda context: 8,
        read=read,
        parent="source_id",
    )


def report(lines: list[dict[str, Any]]) -> None:
    """Print what the lines of a run tell."""
    rows = lines[-1][NAME]
    begun = next(line for line in lines if line.get(NAME))
    for share in (0.1, 0.5, 1.0):
        line = next(one for one in lines if one.get(NAME, 0) >= share * rows)
        print(f"memory at {line[NAME]:>9,} rows   {line['process.rss_bytes'] / 2**20:8.0f} MiB")
    print(f"highest memory seen       {max(line['process.rss_bytes'] for line in lines) / 2**20:8.0f} MiB")
    tenth = next(one for one in lines if one.get(NAME, 0) >= 0.1 * rows)
    done, grown = rows - tenth[NAME], lines[-1]["process.rss_bytes"] - tenth["process.rss_bytes"]
    print(f"bytes per row after 10 %  {grown / max(done, 1):8.0f}")
    spent = lines[-1]["process.cpu_seconds"] - begun["process.cpu_seconds"]
    wall = lines[-1]["seconds"] - begun["seconds"]
    print(f"processor time per row    {spent / max(rows - begun[NAME], 1) * 1e6:8.0f} µs")
    print(f"rows per second           {(rows - begun[NAME]) / max(wall, 1e-3):8.0f}")
    start = min(60.0, tenth["seconds"])
    steady = [one for one in lines if one["seconds"] >= start and one.get(NAME, 0) <= 0.95 * rows]
    shares = [one["model.requests_under_way"] / one["model.limit"] for one in steady]
    if shares:
        print(f"requests under way        {sum(shares) / len(shares):8.1%} of those allowed")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long the server takes to answer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there, options.seconds), daemon=True)
    process.start()
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        out = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        settings = [
            'journey=["numbered", "instructions"]',
            "few_shot.file=tiny",
            "instructions.examples=1",
            "model.name=demo",
            f"model.urls=http://127.0.0.1:{here.recv()}",
            f"model.concurrency={options.concurrency}",
            "telemetry.seconds=2",
        ]
        asyncio.run(run_recipe(default_recipe(settings), out, stages=[numbered(options.rows)]))
        report([json.loads(line) for line in (out / FILE).read_text().splitlines()])


if __name__ == "__main__":
    main()
