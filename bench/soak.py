"""Twenty thousand requests against a server that answers oddly: does the run go on, and has every lost row a reason?

    python -m bench.soak                      # 20,000 requests, each of the faults 1 % of them
    python -m bench.soak --requests 2000 --lasting 0.02

Seeds go through a model stage, with a real `ServerModel`, a real HTTP server in another process and a run folder on
disk. Which request meets which fault is drawn from the digest of its number. Most faults pass: the request is answered
when it is asked again. A share of them (`--lasting`) does not, and costs the row. Exit code 1 if the run stops, a row
is lost, a drop has no reason or no detail, or a row has another outcome than its fault allows.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.question import Question
from selfcodealign.models import Sampling, endpoints
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.server import ServerModel
from selfcodealign.progress import Progress
from selfcodealign.rows import Concepts, Dropped, Seed, digest, grow
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import ModelSettings
from tests.support.faulty_server import FaultyServer, Handler
from tests.support.flows import concepts_folder
from tests.support.odd_server import FAULTS, PASSING, USABLE
from tests.support.rows import make_seed

#: Requests of one kind of fault in a hundred.
PER_CENT = 1
KINDS = (*FAULTS, *PASSING, *USABLE)
assert len(KINDS) * PER_CENT < 100


def fault_of(number: int) -> str:
    """The kind of fault that the n-th row's request meets, "" for most."""
    place = int(digest("fault", number), 16) % 100
    return KINDS[place // PER_CENT] if place // PER_CENT < len(KINDS) else ""


def lasts(number: int, share: float) -> bool:
    """Whether the fault of the n-th row stays however often it is asked."""
    return int(digest("lasts", number), 16) % 10_000 < share * 10_000


class OddHandling:
    """Answers a row's first request with its fault, and later ones well unless the fault lasts."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._asked: Counter[int] = Counter()

    def __call__(self, handler: Handler, body: dict[str, Any]) -> None:
        number = int(body["prompt"].rpartition("task_")[2].partition("(")[0])
        kind = fault_of(number)
        self._asked[number] += 1
        if kind in USABLE:
            USABLE[kind](handler, body)
        elif kind in FAULTS and (self._asked[number] == 1 or lasts(number, self._share)):
            FAULTS[kind][0](handler, body)
        elif kind in PASSING and self._asked[number] == 1:
            PASSING[kind](handler, body)
        else:
            handler.send_json({"choices": [{"text": f"topic {number}", "finish_reason": "stop"}]})


def serve(connection: Connection, share: float) -> None:
    """Serve in a process until the parent says a word; then say how many requests there were."""
    with FaultyServer(always=OddHandling(share)) as server:
        connection.send(server.url)
        connection.recv()
        connection.send((len(server.times), server.most_at_once))


async def run(url: str, count: int, folder: Path, concurrency: int) -> None:
    """Take `count` seeds through one model stage."""
    settings = ModelSettings(name="demo", urls=[url], concurrency=concurrency, retry_seconds=30.0)
    few_shot = load_few_shot("tiny")
    async with OnDemandModel(ServerModel(settings)) as model:
        await model.open()
        question = Question(model, few_shot, "concepts", ("concepts",), 1, 64, Sampling(max_tokens=32), 0)

        async def work(seed: Seed) -> list[Concepts | Dropped]:
            answer = await question.ask(question.lay_out(seed.id, {"snippet": seed.seed}), seed.id)
            if answer.problem:
                return [Dropped(parent=seed.id, reason=answer.problem, detail=answer.detail, row=seed.fields())]
            concepts = [answer.sections["concepts"]]
            return [grow(seed, Concepts, concepts_id=digest(seed.id, "soak"), concepts=concepts)]

        seeds = (make_seed(number, f"def task_{number}(x):\n    return x\n") for number in range(count))
        with RunFolder(folder) as opened:
            works = [RowWork(concepts_folder(opened), work, concurrency, {})]
            await flow(works, seeds, count, flush_seconds=5.0, progress=Progress())


def check(folder: Path, count: int, share: float) -> Counter[str]:
    """Every row has one outcome, and the one that its fault allows. Returns outcomes by kind."""
    stage = concepts_folder(RunFolder(folder))
    kept = {row.source_line for row in stage.shards.rows()}
    outcomes: Counter[str] = Counter(answered=len(kept))
    dropped: dict[int, tuple[str, str]] = {}
    for _, drops in stage.shards.pairs():
        for one in drops:
            dropped[one.row["source_line"]] = (one.reason, one.detail)
            outcomes[one.reason] += 1
    wrong = []
    for number in range(count):
        kind = fault_of(number)
        lost = kind in FAULTS and lasts(number, share)
        reason, detail = dropped.get(number, ("", ""))
        if (number in kept) == lost or (lost and (reason != FAULTS[kind][1] or not detail)):
            wrong.append(f"row {number} ({kind or 'no fault'}, {'lasts' if lost else 'passes'}): {reason or 'none'}")
    if wrong or len(kept) + len(dropped) != count:
        sys.exit(f"{len(wrong)} rows have a wrong outcome, {count - len(kept) - len(dropped)} none: {wrong[:5]}")
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--lasting", type=float, default=0.03, help="share of the faults that do not pass")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    endpoints.FIRST_PAUSE = 0.05  # a tenth of the real pauses
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(there, options.lasting), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        asyncio.run(run(here.recv(), options.requests, Path(name), options.concurrency))
        seconds = time.monotonic() - began
        here.send("stop")
        requests, most = here.recv()
        outcomes = check(Path(name), options.requests, options.lasting)
    print(f"{options.requests} rows, {len(KINDS)} kinds of odd answers, each {PER_CENT} % of the rows")
    print(f"{requests} requests in {seconds:.0f} s ({requests / seconds:.0f}/s), at most {most} at once")
    for outcome, number in outcomes.most_common():
        print(f"  {outcome}: {number}")
    print("no stop, no row lost, every drop with its reason")


if __name__ == "__main__":
    main()
