"""Seed → seed: the base model as a yes/no judge of the docstring, few-shot and greedy, as the paper does it."""

from __future__ import annotations

import re

from selfcodealign.generation.few_shot_file import FewShotFile
from selfcodealign.generation.question import Question, shorten
from selfcodealign.models import Model, Sampling
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import FewShotSettings, JudgeSettings


class Judge:
    """Keeps a seed when the model's first word is yes; no, and anything else, is a drop."""

    def __init__(
        self, model: Model, few_shot: FewShotFile, settings: JudgeSettings, few: FewShotSettings, random_seed: int
    ) -> None:
        sampling = Sampling(temperature=0.0, max_tokens=settings.max_tokens, stop=("\n",))
        self._question = Question(
            model, few_shot, "judge", ("judgement",), settings.examples, few.draws, sampling, random_seed
        )
        self.digest = self._question.digest

    async def __call__(self, seed: Seed) -> list[Seed | Dropped]:
        prompt = self._question.lay_out(seed.id, {"snippet": seed.seed})
        answer = await self._question.ask(prompt, seed.id)
        word = re.match(r"\w*", answer.text.strip().lower()).group()  # type: ignore[union-attr]
        if word == "yes":
            return [seed]
        reason = "judged_no" if word == "no" else answer.problem or "unparsed"
        return [Dropped(parent=seed.id, reason=reason, detail=answer.detail or shorten(answer.text), row=seed.fields())]
