"""Seams: where the tokens of a prompt are not the beginning of the tokens of prompt and answer together.

A model has read texts in their usual tokens. Where a newline and the indentation after it are one token, as in the
tokenizers of GPT-2, StarCoder and SmolLM, a prompt that ends in a newline has a last token that no indented line ever
followed: models then write no body at all. Where a quote and the newline behind it are one token, as in those of GPT-4,
Llama 3, Qwen and Mistral Nemo, it is the prompt *without* its newline that ends in an unusual token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selfcodealign.benchmarks import Benchmark, Mode, Problem, Prompt
from selfcodealign.fences import hoist_future

#: Returns the tokens of a text, without those that are added in front of and behind every text.
Encode = Callable[[str], Sequence[int]]


def strip_open_end(prompt: str) -> str:
    """Strip a program's beginning where an indented line follows: after an indented line, or one that opens a block.

    Newlines in front go as well, as in bigcode-evaluation-harness, whose figures are then the same. At any other end
    the newline is no seam, and that harness keeps it.

    >>> strip_open_end("\\ndef f():\\n    'Doc.'\\n"), strip_open_end("'Do it.'\\n")
    ("def f():\\n    'Doc.'", "'Do it.'\\n")
    """
    text = prompt.strip("\n").rstrip()
    last = text.rpartition("\n")[2]
    return text if last[:1].isspace() or (last.endswith(":") and not last.startswith("#")) else prompt


def join_continuation(benchmark: Benchmark[Any], problem: Problem, prompt: str, text: str) -> str:
    """Return the whole solution of a model that continued `prompt` with `text`: where both are code, the two texts."""
    return hoist_future(prompt + text) if benchmark.begins_program else benchmark.join(problem, text)


def expect_answer(problem: Problem, mode: Mode, prompt: Prompt) -> str:
    """Return how a right answer continues a laid-out prompt; "" where the benchmark has no reference solution."""
    reference = problem.reference
    if not reference:
        return ""
    if mode == "few-shot" or (mode == "chat" and not prompt.response_prefix):
        return f"```python\n{reference}"
    if mode == "chat":
        return reference if prompt.response_prefix.endswith("\n") else f"\n{reference}"
    # Some references begin with an empty line, which models rarely write.
    rest = reference.strip("\n").removeprefix(prompt.text.strip("\n")).lstrip("\n")
    return rest if prompt.text.endswith("\n") else f"\n{rest}"


def has_seam(encode: Encode, prompt: str, answer: str) -> bool:
    """Whether the tokens of the prompt differ from the first tokens of prompt and answer.

    The answer's first lines are enough: a token holds no more.
    """
    alone = list(encode(prompt))
    return list(encode(prompt + answer[:200]))[: len(alone)] != alone


def count_seams(encode: Encode, laid_out: Sequence[tuple[Problem, Prompt]], mode: Mode) -> tuple[int, int]:
    """Return how many of these prompts end in a seam, and of how many the continuation is known."""
    pairs = [(prompt.text, expect_answer(problem, mode, prompt)) for problem, prompt in laid_out]
    known = [(prompt, answer) for prompt, answer in pairs if answer]
    return sum(has_seam(encode, *pair) for pair in known), len(known)


def note_seams(label: str, benchmark: str, mode: Mode, counts: Mapping[Mode, tuple[int, int]]) -> list[str]:
    """A sentence for the reader if the other way to continue a prompt ends in fewer seams. `counts` are by mode."""
    (here, known), (other, (there, _)) = counts[mode], next(item for item in counts.items() if item[0] != mode)
    if there >= here:
        return []
    return [
        f"{here} of {known} prompts of {benchmark} end in the middle of a token of {label}'s tokenizer, which lowers "
        f"scores; in mode {other} {there} do (--mode, in a recipe evaluate.base_modes)."
    ]
