"""What a run will ask of its model: requests and tokens per seed, estimated before any work.

Prompts are known: they are laid out here with worked examples in the place of rows. Answers are taken to be as long as
the worked examples' (`typical`), and are never longer than `max_tokens` (`most`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from math import perm
from statistics import fmean
from typing import NamedTuple

from selfcodealign.generation.draws import MOST_DRAWS, count_draws, draw_examples, nth_draw
from selfcodealign.generation.few_shot_file import split_tags
from selfcodealign.generation.prompts import EXAMPLE_HEADING, lay_out
from selfcodealign.generation.question import estimate_tokens
from selfcodealign.models.room import TOKEN_CHARACTERS, Room, find_room, find_tokenizer
from selfcodealign.settings import MOST_TOKENS
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.context import Context
from selfcodealign.stages.plan import Action, Decision

#: Prompts that are laid out for each stage.
_PROMPTS = 24


@dataclass(frozen=True)
class Asking:
    """What one stage asks for one seed, if no row is dropped before.

    `requests` is the most, `typical_requests` what is expected; tokens are those of one request. `shared_tokens` of its
    prompt were read before by other requests, in the mean over all of them, so that a prefix cache has them.
    """

    stage: str
    requests: int
    typical_requests: int
    prompt_tokens: int
    shared_tokens: int
    typical_tokens: int
    most_tokens: int


@dataclass(frozen=True)
class Forecast:
    """The stages that ask a model; `seeds` is the most that will come, None where nothing tells; `exact` tells that
    tokens were counted by the model's own tokenizer."""

    stages: Sequence[Asking]
    seeds: int | None
    exact: bool

    def prompt_tokens(self) -> int:
        """Tokens of a seed's prompts, typically."""
        return sum(one.typical_requests * one.prompt_tokens for one in self.stages)

    def new_tokens(self) -> int:
        """Tokens of a seed's prompts that no prefix cache keeps, typically."""
        return sum(one.typical_requests * (one.prompt_tokens - one.shared_tokens) for one in self.stages)

    def answer_tokens(self) -> tuple[int, int]:
        """Tokens of a seed's answers: typically, and at most."""
        typical = sum(one.typical_requests * one.typical_tokens for one in self.stages)
        return typical, sum(one.requests * one.most_tokens for one in self.stages)


def forecast(context: Context, decisions: Sequence[Decision]) -> Forecast:
    """Estimate what the stages ask that are not finished. Raises `FewShotError`."""
    room = find_room(context.recipe.model) or Room(0, find_tokenizer(context.recipe.model))
    working = {one.step.name for one in decisions if one.action is not Action.REST}
    seeds = _count_seeds(context, working)
    stages = [_estimate(context, room, seeds, asked) for asked in _asked(context, decisions) if asked.name in working]
    return Forecast(stages, seeds, room.tokenizer is not None)


def _count_seeds(context: Context, working: Set[str]) -> int | None:
    """The seeds that there are, where they are settled; else the limit."""
    name = context.counting
    found = context.folder.look_at(name) if name is not None and name not in working else None
    return found.books().kept if found is not None else context.recipe.seeds.limit


class _Asked(NamedTuple):
    """What a stage asks for a seed: `prompts` counts those of all rows that it is given for one."""

    name: str
    what: Asked
    prompts: int


def _asked(context: Context, decisions: Sequence[Decision]) -> Iterator[_Asked]:
    rows = 1
    for one in decisions:
        stage = one.step.stage
        for asked in stage.asks(context) if isinstance(stage, Each) else ():
            yield _Asked(stage.name, asked, rows * asked.prompts)
            rows *= asked.rows


def _estimate(context: Context, room: Room, seeds: int | None, asked: _Asked) -> Asking:
    few_shot, draws, kind, examples = (
        context.few_shot,
        context.recipe.few_shot.draws,
        asked.what.kind,
        asked.what.examples,
    )
    requests = asked.prompts * asked.what.most, asked.prompts * asked.what.typical
    if asked.what.sample is not None:
        prompt, answer = (room.measure(text) for text in asked.what.sample)
        most = asked.what.tokens or MOST_TOKENS[asked.name]
        return Asking(asked.name, *requests, prompt, 0, min(most, answer), most)
    pool = few_shot.pool(kind, examples)
    if not pool:  # a message, and no worked example that tells how long tasks and answers are
        most = asked.what.tokens or MOST_TOKENS[asked.name]
        return Asking(asked.name, *requests, 0, 0, most, most)
    used = _count_used(context, seeds, asked, perm(len(pool), examples))
    shown, wanted = split_tags(kind)
    wanted = asked.what.wanted or wanted
    tokens = asked.what.tokens or min(MOST_TOKENS[asked.name], estimate_tokens(pool, wanted))
    introduction = few_shot.introductions[kind]

    def draw(number: int) -> list[dict[str, str]]:
        if draws is None:
            return nth_draw(pool, examples, kind, number % round(used), context.recipe.random_seed)
        return draw_examples(pool, examples, kind, f"prompt {number}", draws)

    prompts = [
        lay_out(introduction, draw(number), {tag: pool[number % len(pool)][tag] for tag in shown}, wanted)
        for number in range(_PROMPTS)
    ]
    whole = fmean(room.measure(prompt) for prompt in prompts)
    # Rows of one draw share all but the open example; without draws, only the introduction.
    shared = [introduction if draws == 0 else prompt.rpartition(f"\n{EXAMPLE_HEADING}")[0] for prompt in prompts]
    first = min(1.0, used / (seeds * asked.prompts)) if seeds else 0.0  # of the prompts of a draw, one finds nothing
    kept = fmean(room.measure(text) for text in shared) * (1 - first)
    same = asked.what.typical  # of several answers to one prompt, all but the first read nothing
    kept = kept / same + whole * (same - 1) / same
    answers = [room.measure("\n".join(f"{one[tag]}\n</{tag}>" for tag in wanted)) for one in pool]
    typical = min(tokens, round(fmean(answers)))
    return Asking(asked.name, *requests, round(whole), round(kept), typical, tokens)


def _count_used(context: Context, seeds: int | None, asked: _Asked, possible: int) -> float:
    """How many different beginnings the prompts of a stage will have."""
    draws = context.recipe.few_shot.draws
    if draws == 0:
        return 1  # the introduction
    most = min(possible, MOST_DRAWS if draws is None else draws)
    if seeds is None:
        return most
    if draws is None and context.counting is not None:
        return min(most, count_draws(seeds) + (asked.what.prompts - 1))
    return most * (1 - (1 - 1 / most) ** (seeds * asked.prompts))  # those that at least one row has drawn


def tell(found: Forecast) -> list[str]:
    """The forecast in lines: a table, the sums, and how they were counted; none where nothing is asked."""
    if not found.stages:
        return []
    head = ("", "requests", "prompt", "of it cached", "answer", "at most")
    rows = [
        (
            one.stage,
            _span(one.typical_requests, one.requests),
            f"{one.prompt_tokens:,}",
            f"{one.shared_tokens:,}",
            f"{one.typical_tokens:,}",
            f"{one.most_tokens:,}",
        )
        for one in found.stages
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["What it asks of the model for a seed that no stage drops: requests, and tokens of each (estimated)"]
    lines += [
        "  "
        + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
        for row in (head, *rows)
    ]
    lines.append(f"  one seed: {_sum_up(found, 1)}")
    if found.seeds is not None:
        lines.append(f"  {found.seeds:,} seeds at most: {_sum_up(found, found.seeds)}")
    counted = "the model's tokenizer" if found.exact else f"{TOKEN_CHARACTERS} characters per token"
    half = any(one.typical_requests < one.requests for one in found.stages)
    lines.append(
        f"  Counted with {counted}, worked examples in the place of rows, and answers of their length"
        + (", of which every second one passes its tests." if half else ".")
    )
    return lines


def _sum_up(found: Forecast, seeds: int) -> str:
    typical, most = found.answer_tokens()
    requests = (
        sum(one.typical_requests for one in found.stages) * seeds,
        sum(one.requests for one in found.stages) * seeds,
    )
    prompts, new = found.prompt_tokens() * seeds, found.new_tokens() * seeds
    return (
        f"{_span(*requests)} requests, {_round(prompts)} tokens of prompts ({_round(new)} that are not cached), "
        f"{_round(typical * seeds)} of answers (at most {_round(most * seeds)})"
    )


def _span(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"


def _round(tokens: int) -> str:
    """A number of tokens with three digits.

    >>> [_round(one) for one in (950, 12_345, 1_234_567, 2_345_678_901)]
    ['950', '12,300', '1.23 million', '2.35 billion']
    """
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if tokens >= size:
            return f"{tokens / size:.3g} {name}"
    return f"{int(float(f'{tokens:.3g}')):,}"
