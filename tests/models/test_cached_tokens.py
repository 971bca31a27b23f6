"""What the local engine and the report tell of cached prompt tokens."""

from __future__ import annotations

import asyncio
import io
import json

from rich.console import Console

from selfcodealign.models import Sampling
from selfcodealign.models.local import LocalModel
from selfcodealign.models.usage import Usage
from selfcodealign.report.asked import MAKE_IT_TELL, AskedAccount, draw_asked
from selfcodealign.settings import ModelSettings


async def test_the_local_engine_tells_what_it_did_not_compute() -> None:
    """None of the first prompt, whole blocks of one that begins alike, all but the last token of an equal one."""
    shared = "def double(x):\n    return 2 * x\n\n\n" * 12
    sampling = Sampling(temperature=0.0, max_tokens=8)
    async with LocalModel(ModelSettings(name="embedded", threads=1)) as model:
        first = await model.complete(f"{shared}def first(", sampling, seed=1)
        again = await model.complete(f"{shared}def other(", sampling, seed=1)
        one, two = await asyncio.gather(*(model.complete("def f(x):", sampling, seed=n) for n in (1, 2)))
    assert first.cached_tokens == 0
    assert again.cached_tokens is not None
    assert 0 < again.cached_tokens < again.prompt_tokens
    assert again.cached_tokens % 32 == 0
    assert (one.cached_tokens, two.cached_tokens) == (0, two.prompt_tokens - 1)


def test_the_report_counts_computed_and_cached_tokens() -> None:
    """By stage and in all, with the tokens of an example; what no server tells is said, with the way out."""
    told, silent = Usage(3, 1000, 1000, 800, 50), Usage(2, 500, 0, 0, 450)

    def draw(stages: dict[str, Usage], examples: int | None) -> str:
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(draw_asked(AskedAccount(stages, examples, examples)))
        return console.export_text()

    text = draw({"concepts": told}, 3)
    assert "800 (80%)" in text
    assert "200" in text
    assert "350 tokens for each of 3 verified examples" in text
    assert MAKE_IT_TELL not in text
    both = draw({"concepts": told, "responses": silent}, None)
    lines = {line.split()[1]: line.split() for line in both.splitlines() if " concepts " in line or "responses" in line}
    assert lines["responses"][3::2][:3] == ["2", "500", "?"]
    assert "not told" in both
    assert "800 (80%) of 1,000 told" in both
    assert "--enable-prompt-tokens-details" in both
    assert json.loads(json.dumps(AskedAccount({"concepts": told}, 5, 5).fields()))["per_example"] == {
        "prompt_tokens": 200,
        "computed_tokens": 40,
        "cached_tokens": 160,
        "completion_tokens": 10,
    }
    unknown = AskedAccount({"concepts": told, "responses": silent}, 5, 5).fields()["per_example"]
    assert (unknown["computed_tokens"], unknown["cached_tokens"]) == (None, None)


def test_unverified_examples_are_not_called_verified() -> None:
    """The cost is that of an example, and how many of them passed is said beside it."""
    told = Usage(3, 1000, 1000, 800, 50)
    assert AskedAccount({"distil": told}, 3, 1).tell_cost() == "350 tokens for each of 3 examples, of which 1 verified"
    assert AskedAccount({"distil": told}, None).tell_cost() == ""
