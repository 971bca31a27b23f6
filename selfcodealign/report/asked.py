"""What the model was asked in a run, stage by stage: requests, and tokens that it computed, found cached and wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from selfcodealign.models.usage import Usage
from selfcodealign.report.verified import count_statuses, last_answers
from selfcodealign.run_folder.folder import ASKED, RunFolder
from selfcodealign.sandbox import Status

NOT_TOLD = "not told"
#: How a server is made to tell.
MAKE_IT_TELL = "cached tokens are unknown: vLLM tells them with --enable-prompt-tokens-details"


@dataclass(frozen=True)
class AskedAccount:
    """What all runs of a folder have asked, by stage; `examples` are the rows that came out, None before there are any.

    Examples are the answers that the last stage of rows has kept; `verified` of them passed their tests.
    """

    stages: Mapping[str, Usage]
    examples: int | None
    verified: int | None = None

    @property
    def total(self) -> Usage:
        return sum(self.stages.values(), Usage())

    @property
    def tokens_per_example(self) -> float | None:
        """Tokens of all prompts and answers for each example."""
        return self.total.tokens / self.examples if self.examples else None

    def tell_cost(self) -> str:
        """The tokens of an example in words, which calls no unverified answer verified; "" where there is none."""
        if (each := self.tokens_per_example) is None:
            return ""
        kind = (
            "verified examples"
            if self.verified == self.examples
            else f"examples, of which {self.verified or 0:,} verified"
        )
        return f"{each:,.0f} tokens for each of {self.examples:,} {kind}"

    def fields(self) -> dict[str, Any]:
        """The account as JSON values."""
        return {
            "stages": {name: usage.fields() for name, usage in self.stages.items()},
            "total": self.total.fields(),
            "examples": self.examples,
            "verified": self.verified,
            "tokens_per_example": self.tokens_per_example,
            "per_example": self._per_example(),
        }

    def _per_example(self) -> dict[str, float | None] | None:
        """Tokens for each example by kind; computed and cached ones are null where they are not told of all prompts."""
        total, examples = self.total, self.examples
        if not examples:
            return None
        told = total.told_tokens >= total.prompt_tokens
        return {
            "prompt_tokens": total.prompt_tokens / examples,
            "computed_tokens": (total.prompt_tokens - total.cached_tokens) / examples if told else None,
            "cached_tokens": total.cached_tokens / examples if told else None,
            "completion_tokens": total.completion_tokens / examples,
        }


def read_asked(folder: RunFolder) -> AskedAccount:
    """Read what was asked in a run's folder."""
    stored = folder.facts().get(ASKED, {})
    stages = {name: Usage.read(stored[name]) for name in folder.journey() if name in stored}
    last = last_answers(folder)
    if last is None:
        return AskedAccount(stages, None)
    return AskedAccount(stages, last.shards.sizes()[0], count_statuses(folder, last)[Status.PASSED])


def draw_asked(found: AskedAccount) -> Table:
    """Draw the account as a table, and the tokens of an example below it."""
    table = Table(title="What the model was asked, in tokens", title_justify="left", caption_justify="left")
    table.add_column("stage")
    for name in ("requests", "prompts", "computed", "cached", "answers"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, usage in found.stages.items():
        table.add_row(name, *_cells(usage))
    if len(found.stages) > 1:
        table.add_section()
        table.add_row("in all", *_cells(found.total))
    lines = []
    if cost := found.tell_cost():
        lines.append(cost)
    if found.total.told_tokens < found.total.prompt_tokens:
        lines.append(MAKE_IT_TELL)
    table.caption = "\n".join(lines) or None
    return table


def _cells(usage: Usage) -> list[str]:
    """Of which prompts were computed is said only where the servers tell it."""
    if not usage.told_tokens:
        computed, cached = ("?", NOT_TOLD) if usage.prompt_tokens else ("0", "0")
    else:
        untold = usage.prompt_tokens - usage.told_tokens
        of_told = f" of {usage.told_tokens:,} told" if untold else ""
        computed = f"{usage.told_tokens - usage.cached_tokens:,}"
        cached = f"{usage.cached_tokens:,} ({usage.cached_share:.0%}){of_told}"
    return [f"{usage.requests:,}", f"{usage.prompt_tokens:,}", computed, cached, f"{usage.completion_tokens:,}"]
