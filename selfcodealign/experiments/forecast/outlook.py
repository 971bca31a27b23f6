"""What a larger run will come to, by a pilot: seeds or examples, tokens, hours, disk, money, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from selfcodealign.experiments.forecast.intervals import DRAWS, LEVEL, Bootstrap, Interval, share, summarise
from selfcodealign.experiments.forecast.pilot import Pilot
from selfcodealign.models.prices import cost, tell_unpriced
from selfcodealign.settings import PriceSettings

#: The largest run that is considered, in seeds.
MOST_SEEDS = 1e9
#: A run so many times larger than its pilot is told to be a guess.
FAR = 20


@dataclass(frozen=True)
class Outlook:
    """A run of `seeds` that gives `examples`; hours are `None` where the pilot took none, money without prices."""

    seeds: Interval
    examples: Interval
    prompt_tokens: Interval
    cached_tokens: Interval | None
    answer_tokens: Interval
    server_hours: Interval
    execution_hours: Interval
    disk_bytes: Interval
    money: Interval | None
    yields: dict[str, tuple[int, int, Interval]]
    notes: list[str]

    def json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"level": LEVEL} | _plain(asdict(self))


def _plain(value: Any) -> Any:
    """The value as JSON knows it: null for what is unknown, since JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def look_ahead(
    pilot: Pilot,
    prices: PriceSettings,
    *,
    examples: int | None = None,
    seeds: int | None = None,
    unpriced: Sequence[str] = (),
    random: int = 0,
) -> Outlook:
    """The outlook for a number of examples, or for a number of seeds (default: those there are). Nothing is priced
    where models are `unpriced`."""
    generator = np.random.default_rng(random)
    count, boot = len(pilot.seeds), Bootstrap(len(pilot.seeds), generator)
    most = max([1.0, *pilot.examples])
    slope, slopes = _slopes(pilot, generator)
    mean = float(np.mean(pilot.examples))
    if examples is not None:
        rates = np.maximum(boot.most_rows(pilot.examples, most), 1e-12)
        size = _seeds_for(examples, mean, slope, count)
        sizes = _seeds_for(examples, rates, slopes, count)
        spread = np.asarray(pilot.examples).std() * np.sqrt(sizes) / rates
        sizes = np.maximum(1.0, sizes + generator.standard_normal(DRAWS) * spread)
        need, found = summarise(size, sizes), Interval(examples, examples, examples)
    else:
        size = float(seeds or pilot.available)
        sizes = np.full(DRAWS, size)
        drawn = boot.most_rows(pilot.examples, most, size) * size * (size / count) ** (slopes - 1)
        need, found = Interval(size, size, size), summarise(mean * size * (size / count) ** (slope - 1), drawn)

    def total(values: Any) -> tuple[float, np.ndarray]:
        # A few long answers or slow programs make up much of a sum, and a pilot seldom has seen the longest.
        return float(np.mean(values)) * size, boot.most_rows(values, 3 * max(values), sizes) * sizes

    prompt, answers, programs, disk = map(total, (pilot.prompt, pilot.answers, pilot.programs, pilot.disk))
    rate = pilot.asking_seconds / 3600 / max(1.0, sum(pilot.prompt) + sum(pilot.answers))
    hours = (prompt[0] + answers[0]) * rate, (prompt[1] + answers[1]) * rate
    cached = pilot.cached_share or 0.0

    def price(prompts: Any, written: Any, served: Any) -> Any:
        return cost(prices, prompts, prompts * cached, written, served)

    return Outlook(
        seeds=need,
        examples=found,
        prompt_tokens=summarise(*prompt),
        cached_tokens=summarise(prompt[0] * cached, prompt[1] * cached) if pilot.cached_share is not None else None,
        answer_tokens=summarise(*answers),
        server_hours=summarise(*hours),
        execution_hours=summarise(programs[0] / 3600, programs[1] / 3600),
        disk_bytes=summarise(*disk),
        money=summarise(*map(price, prompt, answers, hours)) if prices.known and not unpriced else None,
        yields={one.stage: (sum(one.entered), sum(one.kept), _rate(one, boot)) for one in pilot.yields},
        notes=_notes(pilot, need) + ([f"No cost: {tell_unpriced(unpriced)}"] if unpriced else []),
    )


def _rate(stage: Any, boot: Bootstrap) -> Interval:
    """Kept rows per row that entered: Wilson's where seeds have one row each, else a ratio over drawn seeds."""
    entered, kept = sum(stage.entered), sum(stage.kept)
    if stage.independent:
        return share(kept, entered)
    ratio = (boot.weights @ np.asarray(stage.kept)) / np.maximum(boot.weights @ np.asarray(stage.entered), 1e-12)
    return summarise(kept / entered, ratio)


def _slopes(pilot: Pilot, random: np.random.Generator) -> tuple[float, np.ndarray]:
    """The power of the seeds with which examples grow (1: no copies), by the copies that halves of the pilot lose.

    A copy is lost in a half if what it copies is in the same half. With a share c of copies, n rows leave n (1 - c) and
    n / 2 rows leave n / 2 (1 - c / 2); a power law through both has the slope below.
    """

    def slope(copies: Any) -> Any:
        return 1 + np.log2((1 - copies) / (1 - copies / 2))

    copies = random.beta(pilot.copies + 0.5, pilot.compared - pilot.copies + 0.5, size=DRAWS)
    return float(slope(pilot.copies / max(1, pilot.compared + (pilot.copies == pilot.compared)))), slope(
        np.minimum(copies, 0.99)
    )


def _seeds_for(examples: int, rate: Any, slope: Any, count: int) -> Any:
    """Solve examples = rate · seeds · (seeds / count) ^ (slope - 1)."""
    with np.errstate(all="ignore"):
        found = count * (examples / (np.maximum(rate, 1e-12) * count)) ** (1 / np.maximum(slope, 0.05))
    return np.minimum(found, MOST_SEEDS) if isinstance(found, np.ndarray) else float(min(found, MOST_SEEDS))


def _notes(pilot: Pilot, need: Interval) -> list[str]:
    notes = [
        f"Intervals from {len(pilot.seeds)} seeds of the pilot; about 9 of 10 larger runs lie within.",
        "Server-hours are at the pilot's rate of tokens, with its servers and its requests under way: a pilot seldom "
        "fills a server, so a larger run should need fewer.",
        "Hours of execution are seconds of programs; disk is without seeds and data set.",
    ]
    if pilot.superseded:
        notes.append(
            "The pilot's folder has rows of earlier settings in superseded/, and their tokens and hours count here: "
            "another --out tells those of these settings alone."
        )
    if pilot.cached_share is not None:
        notes.append("Larger runs find more prompts in the cache: what is not cached is an upper bound.")
    if pilot.compared:
        notes.append(
            f"Copies: selection dropped {pilot.copies} of {pilot.compared} rows for others like them. Larger sets have "
            "more; the trend within the pilot goes on here as a power of the seeds."
        )
    if need.expected > FAR * len(pilot.seeds):
        notes.append(
            f"This run is more than {FAR} times the pilot, and how many copies it meets is a guess: --pilot "
            f"{round(need.expected / FAR / 10) * 10 or 50} tells more."
        )
    if not sum(pilot.examples):
        notes.append("No seed of the pilot gave an example: only the lower bound of the seeds means something.")
    if need.low > pilot.available:
        notes.append(f"There are {pilot.available:,} seeds (by the sources and seeds.limit): too few.")
    elif need.high > pilot.available:
        notes.append(f"There are {pilot.available:,} seeds (by the sources and seeds.limit), which may be too few.")
    return notes
