"""Seed → seed: rules on the code and its docstring, each named and switchable. Nothing is run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

from selfcodealign.curation.quality import describe_detectors, judge_quality
from selfcodealign.errors import UserError
from selfcodealign.rows import Seed
from selfcodealign.settings import QualitySettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context


def _check(context: Context) -> Iterable[UserError]:
    try:
        describe_detectors(context.recipe.quality)
    except UserError as error:
        yield error


def _decided_by(context: Context) -> dict[str, Any]:
    return {**context.deciding("quality"), "versions of the detectors": describe_detectors(context.recipe.quality)}


QUALITY = Each(
    name="quality",
    takes=Seed,
    gives=Seed,
    settings=QualitySettings,
    columns=("function", "origin", "licence"),
    check=_check,
    decided_by=_decided_by,
    build=lambda context: partial(judge_quality, settings=context.recipe.quality),
    rows_at_once=lambda context: 16 * (os.cpu_count() or 1),
    cpu=True,
)
