"""Examples → fewer examples: a budget of rows, filled by curated scores and by diversity (DS2).

A score of each row becomes one of a few labels; labels that a row's nearest neighbours contradict are replaced, by a
transition matrix that is estimated from the labels alone (`curation.score_noise`). Rows of the highest label come
first, and of the label that does not fit whole, the rows farthest from their neighbours. The others are dropped as
`over_budget`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from selfcodealign.baseline_settings import ScoreCurationSettings
from selfcodealign.curation.embeddings import Pulse, embed, nearest
from selfcodealign.curation.near_duplicates import no_pulse
from selfcodealign.curation.score_noise import NEIGHBOURS, curate, estimate_noise, long_tail
from selfcodealign.rows import Dropped, Example, digest, seed_of
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.watch import Watch

#: Neighbours that are found of a row: a vote leaves a tenth of the rows out.
_FOUND = 2 * NEIGHBOURS
#: Fewer rows than this have no neighbours worth asking.
_FEWEST = 3 * NEIGHBOURS


class Standing(NamedTuple):
    """What decides whether rows stay: the label each was given, the curated one, and its diversity, 0 to 1."""

    given: np.ndarray
    curated: np.ndarray
    diversity: np.ndarray


def label_scores(values: Sequence[float], labels: int) -> np.ndarray:
    """Cut scores into labels of equal width; a score that was not measured has the lowest.

    >>> label_scores([0.0, 0.5, 1.0, math.nan], 4).tolist()
    [0, 2, 3, 0]
    """
    scores = np.nan_to_num(np.asarray(values, float), nan=0.0)
    greatest = max(1.0, float(scores.max(initial=0.0)))
    return np.minimum(labels - 1, np.floor(scores / greatest * labels)).astype(np.int64)


def judge_rows(
    rows: Sequence[tuple[str, float]], settings: ScoreCurationSettings, seed: int, pulse: Pulse = no_pulse
) -> Standing:
    """Work out the standing of rows, each a text and its score."""
    given = label_scores([score for _, score in rows], settings.labels)
    vectors = embed((text for text, _ in rows), settings.dimensions, seed, pulse)
    neighbours, distances = nearest(vectors, _FOUND, pulse)
    curated = given
    if settings.curate and len(rows) >= _FEWEST and len(np.unique(given)) > 1:
        kinds, places = np.unique(given, return_inverse=True)
        noise = estimate_noise(places, neighbours, len(kinds))
        curated = kinds[curate(places, neighbours, distances, noise, seed)]
    return Standing(given, curated, long_tail(distances))


def choose(ids: Sequence[str], standing: Standing, rows: int) -> set[int]:
    """The numbers of the `rows` rows that stay: highest label first, then the most diverse, then by id."""
    order = sorted(range(len(ids)), key=lambda one: (-standing.curated[one], -standing.diversity[one], ids[one]))
    return set(order[:rows])


def _check(context: Context) -> Iterator[str]:
    settings: ScoreCurationSettings = context.section("score_curation")
    if settings.score == "agreement" and not context.recipe.execution.cross:
        yield (
            'score_curation.score = "agreement" needs the matrix of siblings: set execution.cross = true, or '
            'score_curation.score = "mutation_score"'
        )


def _decide(context: Context, rows: Rows) -> Iterator[Example | Dropped]:
    settings: ScoreCurationSettings = context.section("score_curation")
    watch = Watch(context, "score_curation")
    ids, judged = [], []
    for row in rows():
        context.go_on()
        ids.append(row.id)
        judged.append((f"{row.instruction}\n{row.response}", getattr(row, settings.score)))
    unmeasured = sum(math.isnan(score) for _, score in judged)
    if unmeasured:
        context.count("score_curation", f"rows without {settings.score}, which have the lowest label", unmeasured)
    if len(ids) <= settings.rows:
        context.progress.say(f"score_curation: all {len(ids):,} rows stay, score_curation.rows is {settings.rows:,}")
        yield from rows()
        return
    seed = seed_of(digest(context.recipe.random_seed), "score_curation")
    standing = judge_rows(judged, settings, seed, watch)
    watch.end()
    if changed := int(np.sum(standing.given != standing.curated)):
        context.count("score_curation", "labels replaced", changed)
    kept = choose(ids, standing, settings.rows)
    for number, row in enumerate(rows()):
        if number in kept:
            yield row
            continue
        given, label = int(standing.given[number]), int(standing.curated[number])
        score = f"{settings.score} label {label}" + (f" (given: {given})" if given != label else "")
        detail = f"{score}, diversity {standing.diversity[number]:.3f}"
        yield Dropped(parent=row.id, reason="over_budget", detail=detail, row=row.fields())


SCORE_CURATION = Whole(
    name="score_curation",
    takes=Example,
    gives=Example,
    settings=ScoreCurationSettings,
    columns=("instruction", "category", "difficulty", "status", "mutation_score", "proof", "pass_rate", "samples"),
    check=_check,
    decided_by=lambda context: {
        **context.deciding("score_curation"),
        "random_seed": context.recipe.random_seed,
    },
    decide=_decide,
)
