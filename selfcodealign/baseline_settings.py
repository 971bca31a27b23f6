"""Sections of the stages in `stages/baselines`: what other published methods do otherwise."""

from __future__ import annotations

from pydantic import Field

from selfcodealign.sections import AskingSection


class EditSettings(AskingSection):
    """Commit → an edit request with tests that pass on the new code and fail on the old."""

    examples: int = Field(2, ge=1, description="worked examples per prompt")
    samples: int = Field(
        4, ge=1, description="most requests with tests that are written for a commit, until one is kept"
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(768, ge=1, description="most tokens of an answer; longer ones are dropped")


class MonologueSettings(AskingSection):
    """Verified answer → reasoning about a call of it, forward and backward, accepted by running the call."""

    examples: int = Field(2, ge=1, description="worked examples per prompt")
    calls: int = Field(1, ge=1, description="most calls that are taken from the tests of an answer")
    samples: int = Field(
        4, ge=1, description="most monologues written for a call and a direction, until one is accepted"
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(768, ge=1, description="most tokens of an answer; longer ones are dropped")
    keep_examples: bool = Field(True, description="the verified answers themselves are in the data set, too")
