"""Seed → seed: copies and near copies go, then as many seeds stay as the recipe asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from selfcodealign.curation.carried import own_code
from selfcodealign.curation.earlier_rows import EarlierRows, EarlierSource
from selfcodealign.curation.given_text import given_text
from selfcodealign.curation.near_duplicates import NearDuplicate, Pulse, near_duplicates, no_pulse
from selfcodealign.errors import UserError
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import NearDedupSettings
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.watch import Watch

#: The name under which the versions of `near_dedup.against` are recorded.
EARLIER_VERSIONS = "versions of the earlier rows"


def drop_near_copies(
    rows: Callable[[], Iterable[Seed]],
    settings: NearDedupSettings,
    limit: int | None,
    *,
    folder: Path | None = None,
    pulse: Pulse = no_pulse,
) -> Iterator[Seed | Dropped]:
    """Yield every seed, kept or dropped. `rows` gives them in the order of their ids.

    Of copies the first stays; what seeds carry besides their functions is not compared. Imported rows are compared by
    instruction and given response. Ids are hashes of the code, so
    the first `limit` seeds are a uniform draw, and a higher limit draws the same ones and more. `folder` and `pulse`
    are those of `near_duplicates`.
    """
    earlier = EarlierRows([EarlierSource(name, settings.against_column) for name in settings.against])
    near = _find_near(rows, settings, earlier, folder, pulse)
    nearest = next(near, None)  # now all earlier rows are known
    kept = 0
    previous = ""
    for seed in rows():
        reason, detail = "", ""
        same, similar = None, None
        if seed.id == previous:
            reason, detail = "copy", seed.id
        else:
            same = earlier.find(given_text(seed.fields()) or seed.seed)
            if nearest is not None and nearest.row_id == seed.id:
                similar, nearest = nearest, next(near, None)
        if same is not None:
            reason, detail = "copy_of_earlier", same
        elif similar is not None:
            reason = "near_copy_of_earlier" if similar.earlier else "near_copy"
            detail = f"{similar.kept_id} ({similar.similarity:.2f})"
        elif not reason and limit is not None and kept >= limit:
            reason, detail = "over_limit", f"limit {limit}"
        previous = seed.id
        if reason:
            yield Dropped(parent=seed.id, reason=reason, detail=detail, row=seed.fields())
        else:
            kept += 1
            yield seed


def _find_near(
    rows: Callable[[], Iterable[Seed]],
    settings: NearDedupSettings,
    earlier: EarlierRows,
    folder: Path | None,
    pulse: Pulse,
) -> Iterator[NearDuplicate]:
    """Read the earlier rows and yield the near copies, in the order of `rows`; none if they may stay."""
    if not settings.enabled:
        deque(earlier.read(), maxlen=0)
        return
    yield from near_duplicates(
        _first_of_each((seed.id, _compared(seed)) for seed in rows()),
        jaccard=settings.jaccard,
        permutations=settings.permutations,
        ngram=settings.ngram,
        earlier=earlier.read(),
        folder=folder,
        pulse=pulse,
    )


def _compared(seed: Seed) -> str:
    fields = seed.fields()
    given = given_text(fields)
    return own_code(fields) if given is None else given


def _first_of_each(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    previous = ""
    for row_id, text in texts:
        if row_id != previous:
            yield row_id, text
        previous = row_id


def _sources(context: Context) -> list[EarlierSource]:
    settings = context.recipe.near_dedup
    return [EarlierSource(name, settings.against_column) for name in settings.against]


def _check(context: Context) -> Iterator[UserError]:
    for source in _sources(context):
        try:
            source.check(context.folder.path)
        except UserError as error:
            yield error


def _decided_by(context: Context) -> dict[str, Any]:
    facts = {**context.deciding("near_dedup"), "seeds.limit": context.recipe.seeds.limit}
    if sources := _sources(context):
        for source in sources:
            source.check(context.folder.path)
        facts[EARLIER_VERSIONS] = [f"{one.name} {one.version()}" for one in sources]
    return facts


def _decide(context: Context, rows: Rows) -> Iterator[Seed | Dropped]:
    after = context.places["near_dedup"].after
    before = context.folder.look_at(after) if after else None
    watch = Watch(context, "near_dedup", before.books().kept if before else None)
    yield from drop_near_copies(
        rows,
        context.recipe.near_dedup,
        context.recipe.seeds.limit,
        folder=context.folder.path,
        pulse=watch,
    )
    watch.end()


NEAR_DEDUP = Whole(
    name="near_dedup",
    takes=Seed,
    gives=Seed,
    settings=NearDedupSettings,
    columns=("function", "origin", "licence"),
    check=_check,
    decided_by=_decided_by,
    decide=_decide,
)
