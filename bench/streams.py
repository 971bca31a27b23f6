"""What streaming costs the client: requests with 256 under way at a fast server, as whole answers and as streams.

    .venv/bin/python -m bench.streams [--requests 512] [--tokens 300] [--group 1]

The server is another process that answers at once, so that the client is the bottleneck: a real server is slower. Times
are the client's processor time, because other programs may share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

from selfcodealign.models import Sampling, receiving
from selfcodealign.models.server import ServerModel
from selfcodealign.settings import ModelSettings

#: Chunks a second above which answers are asked for as a whole: never, as in a run, always.
KINDS = {"whole": -1.0, "as in a run": receiving.MOST_CHUNKS, "streamed": float("inf")}


def _respond(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def _event(body: object) -> bytes:
    event = b"data: " + json.dumps(body).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def serve(pipe: Connection, tokens: int, group: int) -> None:
    """Serve until killed; `group` tokens per chunk."""
    more = {"id": "cmpl-0123456789abcdef0123456789abcdef", "object": "text_completion", "created": 1, "model": "demo"}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens}
    chunk = _event(more | {"choices": [{"index": 0, "text": " tok" * group, "logprobs": None, "finish_reason": None}]})
    last = _event(more | {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    end = last + _event(more | {"choices": [], "usage": usage}) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    begin = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    choice = {"text": " tok" * tokens, "finish_reason": "length"}
    whole = _respond(json.dumps({"choices": [choice], "usage": usage}).encode())
    models = _respond(b'{"data": [{"id": "demo", "owned_by": "vllm"}]}')

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length")), b":0")
                body = json.loads(await reader.readexactly(int(length.split(b":")[1])) or b"{}")
                if not body.get("stream"):
                    writer.write(whole if body else models)
                    continue
                writer.write(begin)
                for _ in range(tokens // group):
                    writer.write(chunk)
                    await asyncio.sleep(0)  # other streams in between, as a batch of rows is written
                writer.write(end)
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def fast_server(tokens: int, group: int) -> Iterator[int]:
    """The port of a server in another process."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, tokens, group), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()


async def measure(port: int, requests: int) -> tuple[float, float, int]:
    """Wall time, processor time and tokens of the requests, after a few to open connections."""
    settings = ModelSettings(name="demo", urls=[f"http://127.0.0.1:{port}"], concurrency=256)
    async with ServerModel(settings) as model:

        async def ask(count: int) -> int:
            calls = (model.complete("p" * 3000, Sampling(max_tokens=300), seed=seed) for seed in range(count))
            return sum([one.completion_tokens for one in await asyncio.gather(*calls)])

        await ask(64)
        wall, processor = time.perf_counter(), time.process_time()
        tokens = await ask(requests)
        return time.perf_counter() - wall, time.process_time() - processor, tokens


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--group", type=int, default=1, help="tokens per chunk")
    options = parser.parse_args()
    print(f"{'':12}{'requests/s':>12}{'tokens/s':>10}{'requests/cpu-s':>16}{'tokens/cpu-s':>14}{'µs/token':>10}")
    with fast_server(options.tokens, options.group) as port:
        for name, most in KINDS.items():
            receiving.MOST_CHUNKS = most
            wall, processor, tokens = asyncio.run(measure(port, options.requests))
            rates = options.requests / wall, tokens / wall, options.requests / processor, tokens / processor
            cost = processor / tokens * 1e6
            print(f"{name:12}{rates[0]:12.1f}{rates[1]:10.0f}{rates[2]:16.1f}{rates[3]:14.0f}{cost:10.1f}")


if __name__ == "__main__":
    main()
