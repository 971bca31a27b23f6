"""Seed → seed: the base model as a yes/no judge of the docstring, few-shot and greedy, as the paper does it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from selfcodealign.curation.carried import hide_carried
from selfcodealign.errors import UserError
from selfcodealign.generation.question import Question, shorten
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import JudgeSettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context


class Judge:
    """Keeps a seed when the model's first word is yes; no, and anything else, is a drop.

    The model sees the function without what it carries: other docstrings are not in question.
    """

    def __init__(self, context: Context) -> None:
        self._question = ask_the_judge(context)

    async def __call__(self, seed: Seed) -> list[Seed | Dropped]:
        prompt = self._question.lay_out(seed.id, {"snippet": hide_carried(seed.fields())})
        answer = await self._question.ask(prompt, seed.id)
        line, ended, _ = answer.text.strip().partition("\n")
        word = re.match(r"\w*", line.lower()).group()  # type: ignore[union-attr]
        if word == "yes":
            return [seed]
        reason = "judged_no" if word == "no" else "unparsed" if ended else answer.problem or "unparsed"
        return [Dropped(parent=seed.id, reason=reason, detail=shorten(line) or answer.detail, row=seed.fields())]


def ask_the_judge(context: Context) -> Question:
    """The question about a seed, greedy."""
    settings = context.recipe.judge
    # No stop at the end of the line: servers that begin with an empty line would write nothing else.
    sampling = Sampling(temperature=0.0, max_tokens=settings.max_tokens)
    return context.question("judge", ("judgement",), settings.examples, sampling)


def _check(context: Context) -> Iterable[str | UserError]:
    kind = context.recipe.seeds.kind
    if kind != "functions":
        yield f'the judge reads docstrings, which seeds.kind="{kind}" does not ask for: leave it out (--without judge)'
    yield from context.check_examples("judge", context.recipe.judge.examples)


JUDGE = Each(
    name="judge",
    takes=Seed,
    gives=Seed,
    settings=JudgeSettings,
    needs=("model",),
    check=_check,
    decided_by=lambda context: {**context.deciding("judge"), **context.asking("judge")},
    build=Judge,
)
