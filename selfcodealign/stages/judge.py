"""Seed → seed: the base model as a yes/no judge of the docstring, few-shot and greedy.

The paper reads the first word of the answer. The probabilities behind the word are more: they are comparable between
seeds, and a threshold can ask for a clearer yes, or for less.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from selfcodealign.curation.carried import hide_carried
from selfcodealign.errors import UserError
from selfcodealign.generation.question import Question, shorten
from selfcodealign.models import Sampling
from selfcodealign.models.first_token import bare
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import JudgeSettings
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.context import Context

#: Tokens that are asked for at the first place: what OpenAI's protocol allows.
_LIKELIEST = 5
#: What is counted in run.json.
_BY_WORD = "answers without probabilities, decided by their word"


class Judge:
    """Keeps a seed when yes is likelier than the threshold, or when the model's first word is yes (`judge.by`); no, and
    anything else, is a drop.

    The model sees the function without what it carries: other docstrings are not in question.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.recipe.judge
        self._question = ask_the_judge(context)
        self._told = False

    async def __call__(self, seed: Seed) -> list[Seed | Dropped]:
        prompt = self._question.lay_out(seed.id, {"snippet": hide_carried(seed.fields())}, seed.seed_id)
        answer = await self._question.ask(prompt, seed.id)
        line, ended, _ = answer.text.strip().partition("\n")
        word = _first_word(line)
        chance = weigh(answer.first_token) if self._settings.by == "probability" else None
        if chance is not None:
            if chance >= self._settings.threshold:
                return [seed]
            return [_drop(seed, "judged_no", f"P(yes) {chance:.4g}")]
        if word in ("yes", "no"):
            self._note_word()
        if word == "yes":
            return [seed]
        reason = "judged_no" if word == "no" else "unparsed" if ended else answer.problem or "unparsed"
        return [_drop(seed, reason, shorten(line) or answer.detail)]

    def _note_word(self) -> None:
        """Count an answer that its word decides where its probabilities should have; the first is told."""
        if self._settings.by == "word":
            return
        self._context.count("judge", _BY_WORD)
        if not self._told:
            self._told = True
            name = self._context.model_of("judge").identity()["name"]
            self._context.progress.say(
                f"the judge: an answer of {name} has no probabilities of yes and no (logprobs): its first word "
                f'decides, as in all such answers, which run.json counts; judge.by="word" asks for no probabilities'
            )


def weigh(first_token: Mapping[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)), from the log-probabilities of the first tokens; spellings are summed.

    None where another token is likelier than both words together: such an answer is about something else.

    >>> weigh({"yes": -1.2, " Yes": -2.0, "no": -1.2, "The": -2.5}) > 0.5, weigh({"The": -0.1, "yes": -9.0})
    (True, None)
    """
    chances = {"yes": 0.0, "no": 0.0}
    other = 0.0
    for token, value in first_token.items():
        begun, chance = _first_word(bare(token)), math.exp(value)
        # Tokenizers that do not know a word begin it with its first letters.
        word = next((word for word in chances if begun and word.startswith(begun)), None)
        if word is None:
            other = max(other, chance)
        else:
            chances[word] += chance
    both = sum(chances.values())
    return chances["yes"] / both if both > 0.0 and both >= other else None


def _first_word(text: str) -> str:
    return re.match(r"\w*", text.lower()).group()  # type: ignore[union-attr]


def _drop(seed: Seed, reason: str, detail: str) -> Dropped:
    return Dropped(parent=seed.id, reason=reason, detail=detail, row=seed.fields())


def ask_the_judge(context: Context) -> Question:
    """The question about a seed, greedy."""
    settings = context.recipe.judge
    # No stop at the end of the line: servers that begin with an empty line would write nothing else.
    likeliest = _LIKELIEST if settings.by == "probability" else 0
    sampling = Sampling(temperature=0.0, max_tokens=settings.max_tokens, top_logprobs=likeliest)
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
    columns=("function", "origin", "licence"),
    needs=("model",),
    check=_check,
    decided_by=lambda context: {**context.deciding("judge"), **context.asking("judge")},
    build=Judge,
    prefix=lambda context: ask_the_judge(context).by_draw(),
    asks=lambda context: [Asked("judge", context.recipe.judge.examples, context.recipe.judge.max_tokens)],
)
