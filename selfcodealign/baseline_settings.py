"""Sections of the stages in `stages/baselines`: what other published methods do otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selfcodealign.sections import Section


class ScoreCurationSettings(Section):
    """A budget of rows, filled by curated scores and by diversity (the stage score_curation)."""

    rows: int = Field(10_000, ge=1, description="most examples that stay")
    score: Literal["pass_rate", "mutation_score", "agreement"] = Field(
        "mutation_score", description="measured property by which rows are ranked; rows without it come last"
    )
    labels: int = Field(6, ge=2, le=10, description="labels of equal width that the scores are cut into")
    curate: bool = Field(True, description="replace labels that the nearest rows contradict")
    dimensions: int = Field(128, ge=2, description="dimensions of the vectors by which rows are compared")
