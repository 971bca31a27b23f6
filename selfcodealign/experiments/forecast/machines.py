"""The capacity plan of a pilot's folder: its sizes on the machines that are asked about, as a table and as JSON."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from selfcodealign.experiments.forecast.capacity import Capacity, Machines, planned_size, published_sizes, work_out
from selfcodealign.experiments.forecast.costs import Costs, read_costs
from selfcodealign.settings import Recipe


@dataclass(frozen=True)
class Asked:
    """The machines of the question; `tokens_per_second` of one server (None: the pilot's)."""

    nodes: int
    cores: int | None = None
    servers: int = 1
    tokens_per_second: float | None = None
    memory_gib: float | None = None


@dataclass(frozen=True)
class CapacityPlan:
    """Runs of several sizes on the same machines, and what to know of the figures."""

    machines: Machines
    sizes: Sequence[Capacity]
    notes: Sequence[str]


def plan_capacity(folder: Path, recipe: Recipe, seeds: float, asked: Asked) -> CapacityPlan:
    """Work out a run of so many seeds, and the published one, from what the pilot in `folder` took.

    Raises `RunFolderError` for a folder that does not hold it.
    """
    costs = read_costs(folder, recipe)
    machines = Machines(
        nodes=asked.nodes,
        cores=asked.cores or len(os.sched_getaffinity(0)),
        servers=asked.servers,
        tokens_per_second=asked.tokens_per_second or max(costs.tokens_per_second, 1e-9),
        flush_seconds=recipe.flush_seconds,
    )
    sizes = [work_out(costs, size, machines) for size in (planned_size(costs, seeds), *published_sizes(costs))]
    return CapacityPlan(machines, sizes, _notes(costs, sizes, folder, asked))


def _notes(costs: Costs, sizes: Sequence[Capacity], folder: Path, asked: Asked) -> list[str]:
    memory = asked.memory_gib * 2**30 if asked.memory_gib else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = shutil.disk_usage(folder).free
    notes = [
        f"Worked out, not measured: seconds, tokens and bytes per row are those of the pilot ({costs.functions:,} "
        f"functions, {costs.instructions:,} instructions, {costs.answers:,} answers on this machine), times the rows, "
        "divided by nodes and cores as if these were as fast. No interval is known.",
        "Comparing stages run on one machine, and are taken to cost the same per row at any size; near-deduplication "
        "does from 10,000 to 1,000,000 rows. A small pilot counts their start into each row: an upper bound.",
        "Each node reads the sources whole; training and evaluation are left out.",
    ]
    if asked.tokens_per_second is None:
        notes.append(
            f"Servers are as fast as the pilot's, {costs.tokens_per_second:,.0f} tokens/s of prompts and answers, "
            "which a pilot seldom fills: give --server-tokens."
        )
    if costs.in_process:
        notes.append("The pilot's model worked in its process: what the run's own threads took is the event loop's.")
    notes += [
        f"{one.name}: {one.memory_stage} needs {one.memory_bytes / 2**30:,.1f} GiB of memory, and one machine has "
        f"{memory / 2**30:,.1f} GiB."
        for one in sizes
        if one.memory_bytes > memory
    ]
    notes += [
        f"{one.name}: the run folder needs {one.disk_bytes / 2**30:,.0f} GiB, and {free / 2**30:,.0f} GiB are free at "
        f"{folder}."
        for one in sizes
        if one.disk_bytes > free
    ]
    return notes


def draw_capacity(plan: CapacityPlan) -> Group:
    """The plan as a table of a column for each size, and notes."""
    made = plan.machines
    title = (
        f"Worked out for {made.nodes:,} nodes of {made.cores:,} cores, {made.servers:,} servers of "
        f"{made.tokens_per_second:,.0f} tokens/s"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for one in plan.sizes:
        table.add_column(one.name, justify="right")
    for what in ("functions", "instructions", "answers"):
        table.add_row(what, *(f"{getattr(one, what):,}" for one in plan.sizes))
    table.add_section()
    for number, part in enumerate(plan.sizes[0].parts):
        cells = (one.parts[number] for one in plan.sizes)
        table.add_row("hours of " + ", ".join(part.stages), *(f"{one.hours:,.2f} ({one.bound})" for one in cells))
    table.add_row("hours of the whole", *(f"{one.hours:,.2f}" for one in plan.sizes))
    table.add_section()
    table.add_row("GiB of memory", *(f"{one.memory_bytes / 2**30:,.1f} ({one.memory_stage})" for one in plan.sizes))
    table.add_row("GiB of disk", *(f"{one.disk_bytes / 2**30:,.2f}" for one in plan.sizes))
    table.add_row("files", *(f"{one.files:,}" for one in plan.sizes))
    table.add_row("breaks first", *(f"{one.first}: {one.bound} ({one.share:.0%})" for one in plan.sizes))
    table.add_row("nodes that still help", *(f"{one.useful_nodes:,}" for one in plan.sizes))
    return Group(table, *(Text(f"- {note}") for note in plan.notes))
