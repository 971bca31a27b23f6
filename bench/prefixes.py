"""How many prompt tokens a prefix cache serves, by number of seeds, of draws, order of rows and size of the cache.

    python -m bench.prefixes                   # draws and seeds: a cache that forgets nothing
    python -m bench.prefixes order             # order of rows: caches that hold a few draws

Prompts are the real ones of the packaged worked examples, with the examples' snippets and tasks in the place of rows,
for concepts, instructions and one answer. Tokens are counted at 3.2 characters. The cache is that of a server: blocks
of 16 tokens, each known by all that stands before it, the longest unused forgotten first. Requests under way are not
modelled: each prompt is in the cache before the next is asked.
"""

from __future__ import annotations

import argparse
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from selfcodealign.engine.order import in_groups
from selfcodealign.generation.draws import DECIDING_SEEDS, NOT_COUNTED, Growth, draw_examples, nth_draw
from selfcodealign.generation.few_shot_file import PROMPT_TAGS, load_few_shot
from selfcodealign.generation.prompts import lay_out
from selfcodealign.models.room import TOKEN_CHARACTERS
from selfcodealign.rows import digest

BLOCK = round(16 * TOKEN_CHARACTERS)  # characters of 16 tokens
STAGES = {"concepts": 8, "instructions": 8, "responses": 1}
FEW_SHOT = load_few_shot("python")


class Cache:
    """Blocks of prompts, at most `blocks` (None: all); counts what it served."""

    def __init__(self, blocks: int | None) -> None:
        self._blocks, self._known = blocks, OrderedDict[int, None]()
        self.served = self.asked = 0

    def ask(self, prompt: str) -> None:
        self.asked += len(prompt)
        before, missed = 0, False
        for end in range(BLOCK, len(prompt) + 1, BLOCK):
            before = hash((before, prompt[end - BLOCK : end]))
            missed = missed or before not in self._known
            self.served += 0 if missed else BLOCK
            self._known[before] = None
            self._known.move_to_end(before)
        while self._blocks is not None and len(self._known) > self._blocks:
            self._known.popitem(last=False)


def write_prompt(stage: str, seed: str, draws: int | None, growth: Growth) -> str:
    """The prompt of a seed's row in a stage; the row shows the section of a worked example, and its id."""
    pool, (shown, *wanted) = FEW_SHOT.pool(stage), PROMPT_TAGS[stage]
    if draws is None:
        examples = nth_draw(pool, STAGES[stage], stage, growth.number(seed, 0), 0)
    else:
        examples = draw_examples(pool, STAGES[stage], stage, digest(0, digest(seed, stage)), draws)
    own = f"{seed}\n{pool[int(seed, 16) % len(pool)][shown]}"
    return lay_out(FEW_SHOT.introductions[stage], examples, {shown: own}, wanted)


def serve(seeds: Iterable[str], draws: int | None, growth: Growth, blocks: int | None = None) -> float:
    """The share of the prompt tokens that the cache serves."""
    cache = Cache(blocks)
    for seed in seeds:
        for stage in STAGES:
            cache.ask(write_prompt(stage, seed, draws, growth))
    return cache.served / cache.asked


def make_seeds(count: int) -> tuple[list[str], Growth]:
    seeds = sorted(digest("seed", number) for number in range(count))
    return seeds, Growth.over([int(one, 16) for one in seeds[:DECIDING_SEEDS]])


def compare_draws() -> Iterator[str]:
    """A table: seeds × draws."""
    yield "| seeds | 64 draws | 8 draws | one draw | growing |\n| --- | --- | --- | --- | --- |"
    for count in (20, 50, 200, 1000, 4000):
        seeds, growth = make_seeds(count)
        cells = [f"{serve(seeds, draws, growth):.0%}" for draws in (64, 8, 1, None)]
        yield f"| {count:,} | " + " | ".join(cells) + " |"


def compare_orders(count: int) -> Iterator[str]:
    """A table: size of the cache × order of the rows, with 64 draws by chance, as beyond the first 1,024 seeds."""
    seeds, _ = make_seeds(count)
    one = sum(len(write_prompt(stage, seeds[0], None, NOT_COUNTED)) for stage in STAGES) // BLOCK
    orders: dict[str, Callable[[], Iterable[str]]] = {
        "by chance": lambda: random.Random(0).sample(seeds, len(seeds)),
        "grouped": lambda: in_groups(
            random.Random(0).sample(seeds, len(seeds)), lambda seed: NOT_COUNTED.number(seed, 0)
        ),
    }
    yield "| cache holds | " + " | ".join(orders) + " |\n| --- | --- | --- |"
    for held in (4, 16, 64):
        cells = [f"{serve(rows(), None, NOT_COUNTED, held * one):.0%}" for rows in orders.values()]
        yield f"| {held} draws | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["draws", "order"], default="draws")
    parser.add_argument("--seeds", type=int, default=4000, help="order: how many seeds")
    options = parser.parse_args()
    for line in compare_draws() if options.what == "draws" else compare_orders(options.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
