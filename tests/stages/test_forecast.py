"""What a dry run says about requests and tokens, beside what a run asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.models.room import Room, find_room
from selfcodealign.pipeline import forecast_recipe, plan_recipe, run_recipe
from selfcodealign.stages.forecast import Asking, Forecast, tell
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources


class Recorded:
    """A model's prompts by stage."""

    def __init__(self) -> None:
        self.model = scripted_model()
        self.prompts: dict[str, list[str]] = {}
        complete = self.model.complete

        async def record(prompt: str, *rest: Any, **more: Any) -> Any:
            self.prompts.setdefault(prompt.rstrip().rpartition("\n")[2], []).append(prompt)
            return await complete(prompt, *rest, **more)

        self.model.complete = record  # type: ignore[method-assign]


async def test_the_forecast_is_what_a_run_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to the number, prompts within a fifth; a stage that is finished asks nothing."""
    judge_by_text(monkeypatch)
    recipe = small_recipe(write_sources(tmp_path / "source", 12), "responses.stop_after_passes=0", "few_shot.draws=4")
    out, recorded = tmp_path / "run", Recorded()
    found = forecast_recipe(recipe, out, await plan_recipe(recipe, out, model=recorded.model, until="responses"))
    await run_recipe(recipe, out, model=recorded.model, until="responses")
    tags = {"concepts": "<concepts>", "instructions": "<instruction>", "responses": "<response>"}
    assert [one.stage for one in found.stages] == list(tags)
    asked = {stage: recorded.prompts[tag] for stage, tag in tags.items()}
    seeds, room = len(asked["concepts"]), find_room(recipe.model) or Room(0)
    for one in found.stages:
        assert one.requests * seeds == one.typical_requests * seeds == len(asked[one.stage])
        tokens = [room.measure(prompt) for prompt in asked[one.stage]]
        assert one.prompt_tokens == pytest.approx(sum(tokens) / len(tokens), rel=0.2)
        assert 0 < one.shared_tokens < one.prompt_tokens
        assert 0 < one.typical_tokens <= one.most_tokens
    after = forecast_recipe(recipe, out, await plan_recipe(recipe, out, model=recorded.model, until="responses"))
    assert after.stages == []
    assert tell(after) == []


async def test_without_fixed_draws_only_the_introduction_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of several answers to one prompt all but the first read nothing."""
    judge_by_text(monkeypatch)
    sources = write_sources(tmp_path / "source", 2)

    async def shares(draws: int, *settings: str) -> dict[str, float]:
        recipe = small_recipe(sources, f"few_shot.draws={draws}", "responses.stop_after_passes=0", *settings)
        decisions = await plan_recipe(recipe, tmp_path / "run", model=scripted_model(), until="responses")
        found = forecast_recipe(recipe, tmp_path / "run", decisions)
        return {one.stage: one.shared_tokens / one.prompt_tokens for one in found.stages}

    fixed, new = await shares(4), await shares(0)
    assert new["concepts"] < 0.2 < fixed["concepts"]
    assert new["responses"] > 0.6
    text = Path(load_few_shot("tiny").path).read_text("utf-8")
    (tmp_path / "bare.md").write_text(re.sub(r"(?ms)^## Introduction: .*?(?=^## )", "", text), "utf-8")
    assert (await shares(0, f"few_shot.file={tmp_path / 'bare.md'}"))["concepts"] == 0


def test_the_sums_are_told() -> None:
    """Typical and most, for one seed and for all."""
    stages = [Asking("concepts", 1, 1, 1000, 900, 20, 256), Asking("responses", 10, 2, 500, 450, 300, 1536)]
    lines = tell(Forecast(stages, 2000, exact=True))
    assert lines[2].split() == ["concepts", "1", "1,000", "900", "20", "256"]
    assert lines[3].split() == ["responses", "2–10", "500", "450", "300", "1,536"]
    assert lines[4] == (
        "  one seed: 3–11 requests, 2,000 tokens of prompts (200 that are not cached), 620 of answers (at most 15,600)"
    )
    assert lines[5].startswith("  2,000 seeds at most: 6,000–22,000 requests, 4 million tokens of prompts (400,000 ")
    assert "tokenizer" in lines[6]
    assert "every second one passes" in lines[6]
    (last,) = [line for line in tell(Forecast(stages[:1], None, exact=False)) if "Counted" in line]
    assert "3.2 characters per token" in last
    assert "passes" not in last
