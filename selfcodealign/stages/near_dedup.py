"""Seed → seed: copies and near copies go, then as many seeds stay as the recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from selfcodealign.curation.near_duplicates import near_duplicates
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import NearDedupSettings
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.context import Context


def drop_near_copies(
    rows: Callable[[], Iterable[Seed]], settings: NearDedupSettings, limit: int | None
) -> Iterator[Seed | Dropped]:
    """Yield every seed, kept or dropped. `rows` gives them in the order of their ids.

    Of copies the first stays. Ids are hashes of the code, so the first `limit` seeds are a uniform draw, and a higher
    limit draws the same ones and more.
    """
    near = {}
    if settings.enabled:
        distinct = _first_of_each((seed.id, seed.seed) for seed in rows())
        near = near_duplicates(
            distinct, jaccard=settings.jaccard, permutations=settings.permutations, ngram=settings.ngram
        )
    kept = 0
    previous = ""
    for seed in rows():
        reason, detail = "", ""
        if seed.id == previous:
            reason, detail = "copy", seed.id
        elif seed.id in near:
            original, score = near[seed.id]
            reason, detail = "near_copy", f"{original} ({score:.2f})"
        elif limit is not None and kept >= limit:
            reason, detail = "over_limit", f"limit {limit}"
        previous = seed.id
        if reason:
            yield Dropped(parent=seed.id, reason=reason, detail=detail, row=seed.fields())
        else:
            kept += 1
            yield seed


def _first_of_each(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    previous = ""
    for row_id, text in texts:
        if row_id != previous:
            yield row_id, text
        previous = row_id


def _decided_by(context: Context) -> dict[str, Any]:
    return {**context.deciding("near_dedup"), "seeds.limit": context.recipe.seeds.limit}


def _decide(context: Context, rows: Rows) -> Iterator[Seed | Dropped]:
    return drop_near_copies(rows, context.recipe.near_dedup, context.recipe.seeds.limit)


NEAR_DEDUP = Whole(
    name="near_dedup",
    takes=Seed,
    gives=Seed,
    settings=NearDedupSettings,
    decided_by=_decided_by,
    decide=_decide,
)
