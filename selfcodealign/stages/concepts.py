"""Seed → concepts: which programming concepts the base model sees in a seed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from typing import Any

from selfcodealign.curation.carried import hide_carried
from selfcodealign.generation.concept_list import read_concepts
from selfcodealign.generation.question import Question, shorten
from selfcodealign.markdown import split_lines
from selfcodealign.models import Sampling
from selfcodealign.rows import Concepts, Dropped, Seed, digest, grow
from selfcodealign.settings import MOST_TOKENS, ConceptSettings
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.context import Context

#: A list ends at an empty line: what follows is another task.
ENDS = ("\n\n",)


class ConceptWriter:
    """Asks for a comma-separated list, and removes what are no concepts of this seed.

    A row of which nothing is left is dropped as `copied` (the prompt's own lists) or `not_concepts` (code, sentences).
    """

    def __init__(self, context: Context) -> None:
        self._count = context.count
        self._settings = settings = context.recipe.concepts
        self._question = ask_for_concepts(context)
        self._digest = digest(digest(settings.result_digest(enabled=True)), self._question.digest)

    async def __call__(self, seed: Seed) -> list[Concepts | Dropped]:
        concepts_id = digest(seed.id, self._digest)
        snippet = cut_snippet(seed.fields(), self._settings)
        prompt = self._question.lay_out(seed.id, {"snippet": snippet}, seed.seed_id)
        answer = await self._question.ask(prompt, seed.id)
        if answer.problem:
            return [Dropped(parent=seed.id, reason=answer.problem, detail=answer.detail, row=seed.fields())]
        shown = [example["concepts"] for example in self._question.draw(seed.id, seed.seed_id)]
        text, most = answer.sections["concepts"], self._settings.max_concepts
        found = read_concepts(text, most, code=snippet, shown=shown)
        for what, number in found.removed.items():
            self._count("concepts", f"concepts removed: {what}", number)
        if not found.concepts:
            reason = "copied" if found.removed["copied"] else "not_concepts"
            return [Dropped(parent=seed.id, reason=reason, detail=shorten(text), row=seed.fields())]
        return [grow(seed, Concepts, concepts_id=concepts_id, concepts=found.concepts)]


def ask_for_concepts(context: Context) -> Question:
    """The question about a seed's snippet."""
    settings = context.recipe.concepts
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens or MOST_TOKENS["concepts"])
    return context.question(
        "concepts", ("concepts",), settings.examples, sampling, ENDS, estimated=settings.max_tokens is None
    )


def cut_snippet(row: Mapping[str, Any], settings: ConceptSettings) -> str:
    """The part of a seed, given by its fields, that the prompt shows: whole lines, as many as the settings allow.

    Where there is no room for all of it, what the seed carries is left out first: the function is what it is about.
    """
    if settings.snippet_carried:
        shown = _lay_out(row["seed"], settings)
        if not row.get("carried_start") or _cut(shown, settings) == shown:
            return _cut(shown, settings)
    return _cut(_lay_out(hide_carried(row), settings), settings)


def _lay_out(code: str, settings: ConceptSettings) -> str:
    return (code if settings.snippet_docstrings else drop_docstrings(code)).removesuffix("\n")


def _cut(shown: str, settings: ConceptSettings) -> str:
    lines = split_lines(shown)
    if settings.snippet_lines is not None:
        lines = lines[: settings.snippet_lines]
    if settings.snippet_characters is not None:
        room = settings.snippet_characters
        kept: list[str] = []
        for line in lines:
            room -= len(line) + 1
            if room < 0 and kept:
                break
            kept.append(line[: settings.snippet_characters])
        lines = kept
    return "\n".join(lines)


def drop_docstrings(code: str) -> str:
    """The code without the docstrings of its functions and classes; one that is a whole body stays.

    Text that Python cannot parse, such as a window of lines, stays as it was.

    >>> print(drop_docstrings('def f(x):\\n    "Double."\\n    return 2 * x'))
    def f(x):
        return 2 * x
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    lines = split_lines(code.removesuffix("\n"))
    dropped: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            first, second = node.body[0], node.body[1] if len(node.body) > 1 else None
            # On a line with other code it cannot be taken out by the line.
            if second is not None and node.lineno < first.lineno and (first.end_lineno or 0) < second.lineno:
                dropped |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)


CONCEPTS = Each(
    name="concepts",
    takes=Seed,
    gives=Concepts,
    settings=ConceptSettings,
    columns=("concepts", "function", "origin"),
    needs=("model",),
    check=lambda context: context.check_examples("concepts", context.recipe.concepts.examples),
    decided_by=lambda context: {**context.deciding("concepts"), **context.asking("concepts")},
    build=ConceptWriter,
    prefix=lambda context: ask_for_concepts(context).by_draw(),
    asks=lambda context: [Asked("concepts", context.recipe.concepts.examples, context.recipe.concepts.max_tokens)],
)
