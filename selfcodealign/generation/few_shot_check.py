"""What can be said of a few-shot file before a run: its examples run in the sandbox, its prompts measured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from selfcodealign.generation.few_shot_file import PROMPT_TAGS, FewShotFile, WorkedExample
from selfcodealign.models.room import TOKEN_CHARACTERS
from selfcodealign.sandbox import Program, Sandbox, Verdict


@dataclass(frozen=True)
class CheckedExample:
    """An example with the verdict on its response and tests; None for code that the sandbox does not run."""

    example: WorkedExample
    verdict: Verdict | None

    @property
    def failed(self) -> bool:
        return self.verdict is not None and not self.verdict.passed

    def describe(self) -> str:
        """The verdict in one line.

        >>> from selfcodealign.sandbox import Status
        >>> example = WorkedExample(name="a", snippet="", category="", language="Python", difficulty="",
        ...                         concepts=(), instruction="", response="", tests="")
        >>> CheckedExample(example, Verdict(Status.FAILED, "AssertionError", "", 3)).describe()
        'failed: AssertionError in line 3 of its code'
        """
        verdict = self.verdict
        if verdict is None:
            return f"not run: the sandbox does not run {self.example.language}"
        if verdict.passed:
            score = verdict.mutation_score
            return "passed" + (f", its tests kill {score:.0%} of mutants" if score is not None else "")
        what = " ".join(f"{verdict.error_type} {verdict.message}".split())[:120]
        place = f" in line {verdict.line} of its code" if verdict.line and verdict.line > 0 else ""
        return f"{verdict.status}{': ' if what or place else ''}{what}{place}"


@dataclass(frozen=True)
class PromptSize:
    """How many worked examples a kind of prompt can draw from, and their mean size in characters."""

    kind: str
    examples: int
    characters: float

    @property
    def tokens(self) -> float:
        """An estimate."""
        return self.characters / TOKEN_CHARACTERS


async def run_examples(file: FewShotFile, sandbox: Sandbox) -> list[CheckedExample]:
    """Run the response of every example against its tests. Raises `SandboxError`."""

    async def run(example: WorkedExample) -> CheckedExample:
        if example.language.lower() != "python":
            return CheckedExample(example, None)
        return CheckedExample(example, await sandbox.run(Program(example.response, example.tests)))

    return list(await asyncio.gather(*map(run, file.examples)))


def measure_prompts(file: FewShotFile) -> list[PromptSize]:
    """The worked examples of each kind of prompt, without those kinds that have none."""
    found = []
    for kind in PROMPT_TAGS:
        pool = file.pool(kind, 0)
        if pool:
            total = sum(len(text) for sections in pool for text in sections.values())
            found.append(PromptSize(kind, len(pool), total / len(pool)))
    return found


def find_copies(file: FewShotFile) -> list[str]:
    """One sentence for each pair of examples or judgements that share a text."""
    return [
        *_copies("snippet", [(one.name, one.snippet) for one in file.examples]),
        *_copies("instruction", [(one.name, one.instruction) for one in file.examples]),
        *_copies("response", [(one.name, one.response) for one in file.examples]),
        *_copies("snippet of a judgement", [(one.name, one.snippet) for one in file.judgements]),
    ]


def _copies(what: str, texts: Sequence[tuple[str, str]]) -> list[str]:
    first: dict[str, str] = {}
    told = []
    for name, text in texts:
        earlier = first.setdefault(" ".join(text.split()), name)
        if earlier != name:
            told.append(f'"{earlier}" and "{name}" have the same {what}')
    return told
