"""Model and sandbox open on first use, and a wrong model or a broken sandbox stops the run."""

from __future__ import annotations

from typing import Self

import pytest

from selfcodealign import Program, Sampling, ScriptedModel, Status, Verdict
from selfcodealign.errors import ModelError, SandboxError
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.sandbox.on_demand import MOST_UNJUDGED, OnDemandSandbox


class Opened(ScriptedModel):
    """Counts how often it is entered and left."""

    entered = left = 0

    async def __aenter__(self) -> Self:
        self.entered += 1
        return await super().__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.left += 1


async def test_a_model_is_opened_by_the_first_call_and_once() -> None:
    """With a recorded identity the model stays closed; calls open it once, and tokens are counted."""
    model = Opened(["abcd" * 5, "abcd"])
    async with OnDemandModel(model, {"name": "scripted", "revision": "1"}) as opened:
        assert opened.identity()["name"] == "scripted"
        assert model.entered == 0
        for _ in range(2):
            await opened.complete("prompt.." * 2, Sampling(), seed=0)
        assert (model.entered, model.left) == (1, 0)
        assert (opened.prompt_tokens, opened.completion_tokens) == (8, 6)
    assert model.left == 1


async def test_another_model_than_the_recorded_one_is_refused() -> None:
    """Another model is refused before a row is written."""
    async with OnDemandModel(Opened(["a"], revision="2"), {"name": "scripted", "revision": "1"}) as opened:
        with pytest.raises(ModelError, match="was begun with scripted at 1"):
            await opened.complete("p", Sampling(), seed=0)


class Broken:
    """A sandbox that judges no program but one in the middle."""

    def __init__(self) -> None:
        self.programs = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def run(self, program: Program) -> Verdict:
        self.programs += 1
        judged = self.programs == 10
        return Verdict(status=Status.PASSED if judged else Status.NOT_JUDGED, message="no worker")


async def test_a_sandbox_that_judges_nothing_stops_the_run() -> None:
    """Twenty unjudged programs in a row are an error; fewer are data."""
    broken = Broken()
    async with OnDemandSandbox(broken) as opened:  # type: ignore[arg-type]
        for _ in range(9 + MOST_UNJUDGED):
            await opened.run(Program("x", "y"))
        with pytest.raises(SandboxError, match=f"could not judge the last {MOST_UNJUDGED} programs .no worker."):
            await opened.run(Program("x", "y"))
    assert broken.programs == 10 + MOST_UNJUDGED
