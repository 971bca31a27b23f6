"""A plan for many nodes: hours, memory, disk and files of a synthetic pilot, against figures worked out by hand."""

from __future__ import annotations

import pytest

from selfcodealign.experiments.forecast.capacity import (
    PUBLISHED,
    Machines,
    Size,
    planned_size,
    published_sizes,
    work_out,
)
from selfcodealign.experiments.forecast.costs import Cost, Costs

COSTS = Costs(
    parts=[
        Cost(["seeds"], "reads", "functions", own=36, below=360, rows=1000, disk=1000),
        Cost(["near_dedup"], "table", "functions", 18, 0, 500, disk=500, memory_per_row=50, scratch_per_row=1000),
        Cost(["concepts", "instructions"], "rows", "instructions", 3.6, 0, 100, tokens=72_000, disk=2000),
        Cost(["responses"], "rows", "answers", 36, 720, 200, tokens=36_000, disk=3000),
        Cost(["selection"], "table", "answers", 7.2, 0, 400, disk=4000, memory_per_row=700),
    ],
    functions=1000,
    seeds=100,
    all_seeds=400,
    instructions=200,
    answers=1000,
    tokens_per_second=100.0,
    in_process=False,
)
SIZE = Size("ten", 10, 10, 10)


def test_hours_are_those_of_the_slowest_side() -> None:
    """Cores and leading processes are divided by nodes, servers by servers; reading and comparing by nothing."""
    found = work_out(COSTS, SIZE, Machines(nodes=2, cores=5, servers=4, tokens_per_second=10.0))
    told = {", ".join(one.stages): (one.hours, one.bound) for one in found.parts}
    assert told == {
        "seeds": (pytest.approx(0.1), "reading, by each node"),  # 360 s, and cores 3600 s / 10
        "near_dedup": (pytest.approx(0.05), "one machine"),  # 180 s
        "concepts, instructions": (pytest.approx(5.0), "servers"),  # 720,000 tokens at 40 a second
        "responses": (pytest.approx(2.5), "servers"),  # 360,000 tokens, and cores 7,560 s / 10
        "selection": (pytest.approx(0.02), "one machine"),  # 72 s
    }
    assert found.hours == pytest.approx(7.67)
    assert (found.first, found.bound) == ("concepts, instructions", "servers")
    assert found.share == pytest.approx(5 / 7.67)
    assert found.useful_nodes == 1  # servers are what takes long


def test_nodes_help_until_reading_comparing_and_servers_are_left() -> None:
    """With fast servers the cores take longest, and twice the nodes help until the undivided rest is most of it."""
    fast = Machines(nodes=1, cores=1, servers=1, tokens_per_second=1e9)
    found = work_out(COSTS, SIZE, fast)
    # seeds 1.0 h by cores, near_dedup 0.05, concepts 0.01, responses 2.1, selection 0.02
    assert found.hours == pytest.approx(1.0 + 0.05 + 0.01 + 2.1 + 0.02)
    assert (found.first, found.bound) == ("responses", "cores")
    # 16 nodes: 0.1 + 0.05 + 0.01/16 + 2.1/16 + 0.02 = 0.302; 32: 0.236; 64: 0.203; 128: 0.187
    assert found.useful_nodes == 64


def test_memory_disk_and_files_grow_with_the_rows() -> None:
    """The largest memory is that of selection; near-deduplication's own files lie on disk meanwhile."""
    found = work_out(COSTS, SIZE, Machines(nodes=2, cores=5, servers=4, tokens_per_second=10.0, flush_seconds=3600))
    assert (found.memory_stage, found.memory_bytes) == ("selection", 512_000_000 + 700 * 4000)
    assert found.disk_bytes == 10 * (1000 + 500 + 2000 + 3000 + 4000) + 5000 * 1000
    # of two nodes: seeds one flush, near_dedup two batches, two stages of five flushes, responses three
    assert found.files == 2 * 2 * 1 + 2 * 2 + 2 * 2 * 2 * 5 + 2 * 2 * 3 + 2 * 1


def test_the_published_run_and_multiples_have_its_rows() -> None:
    """Whatever the pilot kept: functions, instructions and answers are the published ones, 10 and 1000 times."""
    made = [work_out(COSTS, size, Machines(1, 1, 1, 1.0)) for size in published_sizes(COSTS)]
    for one, times in zip(made, (1, 10, 1000), strict=True):
        assert {name: getattr(one, name) for name in PUBLISHED} == {
            name: count * times for name, count in PUBLISHED.items()
        }


def test_planned_seeds_are_drawn_from_all_that_were_compared() -> None:
    """A pilot reads and compares more than its seeds; a run of as many as there are reads no more."""
    size = planned_size(COSTS, 400)
    assert (size.functions, size.instructions, size.answers) == (1.0, 4.0, 4.0)
