"""What a run will ask of its model: requests and tokens per seed, estimated before any work.

Prompts are known: they are laid out here with worked examples in the place of rows. Answers are taken to be as long as
the worked examples' (`typical`), and are never longer than `max_tokens` (`most`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from selfcodealign.generation.few_shot_file import PROMPT_TAGS, draw_examples
from selfcodealign.generation.prompts import EXAMPLE_HEADING, lay_out
from selfcodealign.generation.question import estimate_tokens
from selfcodealign.models.room import TOKEN_CHARACTERS, Room, find_room, find_tokenizer
from selfcodealign.rows import Concepts, holds
from selfcodealign.settings import MOST_TOKENS
from selfcodealign.stages.context import Context
from selfcodealign.stages.plan import Action, Decision

#: Prompts that are laid out for each stage.
_PROMPTS = 24
#: Answers that are drawn until one passes its tests, where a run stops at the first: a model that passes half of them.
_DRAWS_PER_PASS = 2


@dataclass(frozen=True)
class Asking:
    """What one stage asks for one seed, if no row is dropped before.

    `requests` is the most, `typical_requests` what is expected; tokens are those of one request. `shared_tokens` of its
    prompt are the same in other requests, so that a prefix cache keeps them.
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
    """The stages that ask a model; `seeds` is the most that the recipe takes, None without a limit; `exact` tells that
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
    stages = [_estimate(context, room, *asked) for asked in _asked(context) if asked[0] in working]
    return Forecast(stages, context.recipe.seeds.limit, room.tokenizer is not None)


def _asked(context: Context) -> Iterator[tuple[str, str, int, int, int, int | None, int]]:
    """For each stage: its name, its kind of prompt, its worked examples, most and typical requests, most tokens, and
    how many requests share the whole prompt."""
    recipe, places = context.recipe, context.places
    if "judge" in places:
        yield "judge", "judge", recipe.judge.examples, 1, 1, recipe.judge.max_tokens, 1
    if "concepts" in places:
        yield "concepts", "concepts", recipe.concepts.examples, 1, 1, recipe.concepts.max_tokens, 1
    tasks = recipe.instructions.per_seed
    if "instructions" in places:
        given = places["instructions"].given
        kind = "instructions" if given is not None and holds(given, Concepts) else "instructions-from-seed"
        yield "instructions", kind, recipe.instructions.examples, tasks, tasks, recipe.instructions.max_tokens, 1
    if "responses" in places:
        one = recipe.responses
        drawn = min(one.samples, _DRAWS_PER_PASS * one.stop_after_passes) if one.stop_after_passes else one.samples
        yield "responses", "responses", one.examples, tasks * one.samples, tasks * drawn, one.max_tokens, drawn


def _estimate(
    context: Context,
    room: Room,
    name: str,
    kind: str,
    examples: int,
    most: int,
    typical: int,
    tokens: int | None,
    same: int,
) -> Asking:
    few_shot, draws = context.few_shot, context.recipe.few_shot.draws
    pool = few_shot.pool(kind, examples)
    shown, *wanted = PROMPT_TAGS[kind]
    tokens = tokens or min(MOST_TOKENS[name], estimate_tokens(pool, wanted))
    introduction = few_shot.introductions[kind]
    prompts = [
        lay_out(
            introduction,
            draw_examples(pool, examples, kind, f"prompt {number}", draws),
            {shown: pool[number % len(pool)][shown]},
            wanted,
        )
        for number in range(_PROMPTS)
    ]
    whole = fmean(room.measure(prompt) for prompt in prompts)
    # Rows of one draw share all but the open example; without draws, only the introduction.
    shared = [prompt[: prompt.rindex(f"\n{EXAMPLE_HEADING}")] if draws else introduction for prompt in prompts]
    kept = fmean(room.measure(text) for text in shared)
    kept = kept / same + whole * (same - 1) / same  # of several answers to one prompt, all but the first read nothing
    answers = [room.measure("\n".join(f"{one[tag]}\n</{tag}>" for tag in wanted)) for one in pool]
    return Asking(name, most, typical, round(whole), round(kept), min(tokens, round(fmean(answers))), tokens)


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
