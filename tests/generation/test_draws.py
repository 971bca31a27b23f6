"""The number of draws that grows with the seeds: which seed has which draw, and that it keeps it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.engine.order import FIRST_CHUNK, in_groups
from selfcodealign.generation.draws import (
    DECIDING_SEEDS,
    MOST_DRAWS,
    NOT_COUNTED,
    SEEDS_PER_DRAW,
    Growth,
    count_draws,
    nth_draw,
)
from selfcodealign.rows import digest
from selfcodealign.run_folder.folder import RunFolder
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources

POOL = [f"example {number}" for number in range(24)]
IDS = sorted(digest("seed", number) for number in range(3000))


def numbers(ids: list[str]) -> list[int]:
    growth = Growth.over([int(one, 16) for one in ids[:DECIDING_SEEDS]])
    return [growth.number(one, 0) for one in ids]


@pytest.mark.parametrize("seeds", [1, 16, 17, 20, 200, 1024, 1025, 2999])
def test_a_seed_keeps_its_draw_when_the_run_grows(seeds: int) -> None:
    """The first 16 seeds share a draw, the next 16 the next one; a run of more seeds gives the same to those."""
    found = numbers(IDS[:seeds])
    assert found == numbers(IDS)[:seeds]
    assert found[:1024] == [place // SEEDS_PER_DRAW for place in range(min(seeds, 1024))]
    assert len(set(found)) == count_draws(seeds)


def test_many_seeds_use_all_draws_about_equally() -> None:
    """Behind the seeds that begin draws, chance decides; without seeds to count, from the first on."""
    by_chance = [NOT_COUNTED.number(one, 0) for one in IDS]
    assert numbers(IDS)[1024:] == by_chance[1024:]
    for used in (Counter(numbers(IDS)), Counter(by_chance)):
        assert len(used) == MOST_DRAWS
        assert max(used.values()) < 2 * len(IDS) / MOST_DRAWS
    assert by_chance != [NOT_COUNTED.number(one, 1) for one in IDS]


def test_draws_are_different_and_each_example_comes_first_as_often() -> None:
    """64 draws of 8 from 24, and all 24 where one is shown; another random seed has others."""
    draws = [tuple(nth_draw(POOL, 8, "concepts", number, 0)) for number in range(MOST_DRAWS)]
    assert len(set(draws)) == MOST_DRAWS
    assert set(Counter(draw[0] for draw in draws).values()) == {2, 3}
    assert tuple(nth_draw(POOL, 8, "concepts", MOST_DRAWS, 0)) == draws[0]
    assert {nth_draw(POOL, 1, "responses", number, 0)[0] for number in range(24)} == set(POOL)
    assert tuple(nth_draw(POOL, 8, "concepts", 0, 1)) != draws[0]


def test_rows_of_one_prefix_follow_each_other() -> None:
    """Within a chunk, in the order in which they came; a later chunk begins again, and no row is lost."""
    rows = list(range(3 * FIRST_CHUNK))
    found = list(in_groups(iter(rows), lambda row: row % 4))
    assert sorted(found) == rows
    assert found[:FIRST_CHUNK] == sorted(rows[:FIRST_CHUNK], key=lambda row: row % 4)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    opened = RunFolder(folder)
    shards = opened.look_at("instructions")
    assert shards is not None
    columns = ("instruction_id", "seed_id", "instruction", "concepts")
    return {row["instruction_id"]: row for _, row in shards.shards.outcomes(columns)}


async def test_a_trial_grows_into_the_run_that_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 seeds ask with two draws, 16 and 4; raised to 40 in the same folder, all rows and prompts are those of a fresh
    run; the tasks of one seed see different draws."""
    judge_by_text(monkeypatch)
    sources = write_sources(tmp_path / "source", 60)

    async def run(folder: str, limit: int) -> Counter[str]:
        model, seen = scripted_model(), Counter[str]()
        complete = model.complete

        async def record(prompt: str, *rest: Any, **more: Any) -> Any:
            seen[prompt] += 1
            return await complete(prompt, *rest, **more)

        model.complete = record  # type: ignore[method-assign]
        recipe = small_recipe(sources, f"seeds.limit={limit}", "instructions.per_seed=2", "near_dedup.enabled=false")
        await run_recipe(recipe, tmp_path / folder, model=model, until="instructions")
        return seen

    trial = await run("grown", 20)

    def count_beginnings(wanted: str) -> list[int]:
        used = Counter(one.rpartition("\n## Example")[0] for one in trial if one.endswith(f"<{wanted}>\n"))
        return sorted(used.values())

    assert count_beginnings("concepts") == [4, 16]
    assert count_beginnings("instruction") == [4, 16, 20]
    more = await run("grown", 40)
    fresh = await run("fresh", 40)
    assert trial + more == fresh
    assert read(tmp_path / "grown") == read(tmp_path / "fresh")
