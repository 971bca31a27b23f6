"""Sections of the stages in `stages/baselines`: what other published methods do otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selfcodealign.sections import AskingSection


class PairSettings(AskingSection):
    """Seed → instruction and response, written in one answer."""

    examples: int = Field(1, ge=1, description="worked examples per prompt")
    samples: int = Field(1, ge=1, description="pairs written from each seed")
    tests: Literal["run", "written", "none"] = Field(
        "run",
        description="run: tests are written with the pair and run, and what does not pass is dropped; written: they "
        "are written and not run; none: instruction and response only",
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="most tokens of a pair; longer ones are dropped; default: twice what the longest worked example "
        "needs, at most 2304",
    )

    @property
    def executes(self) -> bool:
        """Whether pairs are run."""
        return self.tests == "run"


class PrequerySettings(AskingSection):
    """Instructions that a tuned model writes behind the beginning of its chat template."""

    draws: int = Field(1000, ge=1, description="texts drawn; they differ in their seeds only")
    template: str = Field(
        "",
        description='whose chat template is shown: a folder or hub name, or "plain", the one that training here '
        'writes; "": that of the model',
    )
    system: str = Field("", description="system message in front, which steers the topics; it may cost quality")
    temperature: float = Field(1.0, gt=0.0, description="sampling temperature")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(1024, ge=1, description="most tokens of an instruction; longer ones are dropped")
    min_words: int = Field(4, ge=1, description="drop shorter instructions")
