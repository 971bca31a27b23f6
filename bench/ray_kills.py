"""Nodes of a Ray cluster on this machine are killed at random moments; the rows must be those of a local run.

Each try is a run on two to four nodes of which up to three are lost, at random moments; a killed node is sometimes
replaced. The number of kills so far is kept in FOLDER/kills.json, so that the same command goes on.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from selfcodealign.engine.ray.driver import RayEngine
from selfcodealign.pipeline import run_recipe
from selfcodealign.settings import Recipe
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.ray_cluster import add_node, ray_cluster
from tests.support.runs import books, everything


def kill_nodes(folder: Path, target: int) -> None:
    """Go on until so many nodes have been killed while rows were under way; raises `SystemExit` when rows differ."""
    state = folder / "kills.json"
    known: dict[str, int] = json.loads(state.read_text()) if state.exists() else {"kills": 0, "tries": 0}
    sources = write_sources(folder / "sources", 30)
    recipe = small_recipe(sources, "flush_seconds=0.05", "responses.execute=false", "telemetry.seconds=0")
    local = folder / "local"
    asyncio.run(run_recipe(recipe, local, until="dataset", model=scripted_model()))
    expected, counted = everything(local), books(local)
    with ray_cluster(2) as cluster:
        while known["kills"] < target:
            number = known["tries"]
            run = folder / f"try-{number}"
            began = time.monotonic()
            kills = _try(recipe, run, cluster, random.Random(number))
            same = everything(run) == expected and books(run) == counted
            known = {"kills": known["kills"] + kills, "tries": number + 1}
            state.write_text(json.dumps(known))
            took = time.monotonic() - began
            print(
                f"try {number}: {kills} nodes killed, {known['kills']} so far, {took:.0f} s, rows equal: {same}",
                flush=True,
            )
            if not same:
                raise SystemExit(f"the rows of {run} differ from those of {local}")
    print(f"{known['kills']} nodes killed in {known['tries']} runs; ids, texts, drops and books as in the local run")


def _try(recipe: Recipe, run: Path, cluster: Any, draw: random.Random) -> int:
    """A run with one to three nodes lost; how many were lost before it ended. Two nodes are there afterwards.

    The run is in a thread: Ray adds nodes in the main thread only.
    """
    nodes = [one for one in cluster.list_all_nodes() if one is not cluster.head_node]
    for _ in range(draw.randint(0, 2)):
        nodes.append(add_node(cluster))
    model = scripted_model(latency=0.1, concurrency=2)
    engine = RayEngine(cluster.address)
    kills, wanted = 0, draw.randint(1, 3)
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(asyncio.run, run_recipe(recipe, run, until="dataset", model=model, engine=engine))
        while kills < wanted:
            wait([working], timeout=draw.uniform(1.0, 7.0) if kills else draw.uniform(3.0, 14.0))
            if working.done():
                break
            doomed = nodes.pop(draw.randrange(len(nodes)))
            if not nodes or draw.random() < 0.5:  # another one joins first
                nodes.append(add_node(cluster))
            before = working.done()
            cluster.remove_node(doomed, allow_graceful=False)
            kills += not before
        working.result()
    while len(nodes) > 2:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    while len(nodes) < 2:
        nodes.append(add_node(cluster))
    return kills
