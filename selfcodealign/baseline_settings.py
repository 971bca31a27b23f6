"""Sections of the stages beside the paper's own journey: other published methods, and rows that others wrote."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from selfcodealign.errors import did_you_mean
from selfcodealign.sections import AskingSection, Section, later

#: What an evolved task does otherwise than the one before, by name.
HEURISTICS = {
    "constraints": "Add one or two constraints or requirements that the task did not have, in about ten further words.",
    "rarer": "Replace a common requirement by a less common and more specific one.",
    "reasoning": "Make it a task that needs more steps of reasoning than it does now.",
    "misdirection": "Add a short piece of wrong code, as an earlier attempt, which leads away from the solution.",
    "complexity": "Ask for a lower time or memory complexity than the obvious solution has.",
}

#: What a task of Self-Instruct must not name, as published.
FORBIDDEN_WORDS = [
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "go to"),
]


class EvolveSettings(AskingSection):
    """Instruction → evolved instructions, round by round (Evol-Instruct)."""

    rounds: int = Field(3, ge=1, description="rounds of rewriting; each begins with what the round before has made")
    keep: Literal["all", "last"] = Field(
        "all", description="all: the start and the tasks of all rounds; last: the task of the last round that succeeded"
    )
    heuristics: list[str] = Field(
        default=list(HEURISTICS),
        min_length=1,
        description='one is drawn uniformly for each rewriting: a known one by name, or your own as "name: change"',
    )
    prompt: Literal["few-shot", "message"] = Field(
        "few-shot", description="message: a chat model is told in words what to do, without worked examples"
    )
    examples: int = Field(3, ge=1, description="worked examples per prompt")
    temperature: float = Field(1.0, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(0.9, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(1024, ge=1, description="most tokens of a task; longer ones are dropped")
    min_words: int = Field(4, ge=1, description="drop shorter tasks (too_short)")
    max_words: int = Field(600, ge=1, description="drop longer tasks (too_long)")
    similarity: float = Field(
        0.9,
        gt=0.0,
        le=1.0,
        description="share of common word triples from which a task is the same as the one before (same_as_parent)",
    )

    @field_validator("heuristics")
    @classmethod
    def _know_them(cls, heuristics: list[str]) -> list[str]:
        for one in heuristics:
            name, colon, change = one.partition(":")
            if one not in HEURISTICS and not (colon and name.strip() and change.strip()):
                hint = did_you_mean(one, list(HEURISTICS)) or f"; known are {', '.join(HEURISTICS)}"
                raise ValueError(f'no heuristic "{one}"{hint}; write one of your own as "name: what changes"')
        return heuristics

    def changes(self) -> list[tuple[str, str]]:
        """Name and words of each heuristic."""
        parts = [(one, HEURISTICS.get(one, "")) for one in self.heuristics]
        return [(one, change) if change else _split(one) for one, change in parts]


def _split(heuristic: str) -> tuple[str, str]:
    name, _, change = heuristic.partition(":")
    return name.strip(), change.strip()


class EvolveVerifiedSettings(EvolveSettings):
    """Instruction → verified responses of evolved instructions; each round begins with a task that has a passing
    answer. How answers are drawn is in [responses]."""


class ImportedSettings(Section):
    """Rows that others wrote, which begin a journey: instructions, with responses and tests where they have them."""

    sources: list[str] = Field(
        default=[],
        description="data sets: .jsonl (also .gz, .zst), .parquet, a folder of them or one that `datasets` saved, "
        '"hub:NAME", or the folder of a run',
    )
    instruction_column: list[str] = Field(
        default=[],
        description="the column of the instruction (several are joined), or of chat messages, whose first user turn it "
        "is; default: that of the published data sets, such as instruction, problem, question, prompt, messages",
    )
    response_column: list[str] = Field(
        default=[],
        description="the column of the response (several are joined), or of chat messages; "
        'default: as published, such as response, output, solution, completion, messages; "none": no responses',
    )
    tests_column: list[str] = Field(
        default=[],
        description="the column of the tests (several are joined): code, a list of assertions, or its JSON text; "
        'default: as published, such as tests, test, test_list, test_cases, unit_tests; "none": no tests',
    )
    id_column: str | None = Field(None, description="the column of the row's id; default: as published, such as id")
    licence_column: str | None = Field(
        None, description="the column of the row's licence or a list; default: license, licence or licenses"
    )
    language_column: str | None = Field(
        None,
        description="the column of the programming language: rows of others than Python are dropped; "
        'default: programming_language, language or lang; "none": all rows are Python',
    )
    split: str = Field("train", description="data sets of the hub or saved by `datasets`: the split to read")
    licence: str | None = Field(None, description="SPDX expression for rows that state no licence")
    licences: list[str] = Field(
        default=["any"], description='SPDX licences whose rows are taken; ["any"]: all rows, unknown licences too'
    )
    max_text_kib: int = Field(1024, ge=1, description="drop rows with a longer text")
    limit: int | None = Field(None, ge=1, description="only the first rows of each source, at most this many")


class VerifySettings(Section):
    """The given response of each imported row, executed against the given tests."""

    execute: bool = Field(True, description='false: run nothing; rows get the status "not_run", and need no tests')


class ScoreCurationSettings(Section):
    """A budget of rows, filled by curated scores and by diversity (the stage score_curation)."""

    rows: int = Field(10_000, ge=1, description="most examples that stay")
    score: Literal["pass_rate", "mutation_score", "agreement"] = Field(
        "mutation_score", description="measured property by which rows are ranked; rows without it come last"
    )
    labels: int = Field(6, ge=2, le=10, description="labels of equal width that the scores are cut into")
    curate: bool = Field(True, description="replace labels that the nearest rows contradict")
    dimensions: int = Field(128, ge=2, description="dimensions of the vectors by which rows are compared")


class EditSettings(AskingSection):
    """Commit → an edit request with tests that pass on the new code and fail on the old."""

    examples: int = Field(2, ge=1, description="worked examples per prompt")
    samples: int = Field(
        4, ge=1, description="most requests with tests that are written for a commit, until one is kept"
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(768, ge=1, description="most tokens of an answer; longer ones are dropped")


class MonologueSettings(AskingSection):
    """Verified answer → reasoning about a call of it, forward and backward, accepted by running the call."""

    examples: int = Field(2, ge=1, description="worked examples per prompt")
    calls: int = Field(1, ge=1, description="most calls that are taken from the tests of an answer")
    samples: int = Field(
        4, ge=1, description="most monologues written for a call and a direction, until one is accepted"
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(768, ge=1, description="most tokens of an answer; longer ones are dropped")
    keep_examples: bool = Field(True, description="the verified answers themselves are in the data set, too")


class PairSettings(AskingSection):
    """Seed → instruction and response, written in one answer."""

    examples: int = Field(1, ge=1, description="worked examples per prompt")
    samples: int = Field(1, ge=1, description="pairs written from each seed")
    tests: Literal["run", "written", "none"] = Field(
        "run",
        description="run: tests are written with the pair and run, and what does not pass is dropped; written: they "
        "are written and not run; none: instruction and response only",
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="most tokens of a pair; longer ones are dropped; default: twice what the longest worked example "
        "needs, at most 2304",
    )

    @property
    def executes(self) -> bool:
        """Whether pairs are run."""
        return self.tests == "run"


class PrequerySettings(AskingSection):
    """Instructions that a tuned model writes behind the beginning of its chat template."""

    draws: int = Field(1000, ge=1, description="texts drawn; they differ in their seeds only")
    template: str = Field(
        "",
        description='whose chat template is shown: a folder or hub name, or "plain", the one that training here '
        'writes; "": that of the model',
    )
    system: str = Field("", description="system message in front, which steers the topics; it may cost quality")
    temperature: float = Field(1.0, gt=0.0, description="sampling temperature")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(1024, ge=1, description="most tokens of an instruction; longer ones are dropped")
    min_words: int = Field(4, ge=1, description="drop shorter instructions")


class SelfInstructSettings(AskingSection):
    """Instructions that a model writes behind a numbered list of tasks (Self-Instruct)."""

    lineages: int = later(1000, ge=1, description="pools of tasks; they differ in their draws only")
    rounds: int = later(4, ge=1, description="lists that are continued in each lineage, one after the other")
    tasks: int = Field(7, ge=1, description="most tasks that the model writes behind a list")
    examples: int = Field(6, ge=1, description="seed tasks in a list: instructions of the few-shot file")
    own_examples: int = Field(2, ge=0, description="most tasks of earlier rounds of the lineage in a list")
    temperature: float = Field(0.7, gt=0.0, description="sampling temperature")
    top_p: float = Field(0.5, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(1024, ge=1, description="most tokens behind a list; the task that is cut by it is dropped")
    min_words: int = Field(4, ge=1, description="drop shorter tasks (too_short)")
    max_words: int = Field(150, ge=1, description="drop longer tasks (too_long); longer seed tasks are not shown")
    forbidden_words: list[str] = Field(
        default=FORBIDDEN_WORDS, description="drop tasks with one of these words: what a text cannot show or hold"
    )
    drop_programs: bool = Field(True, description='drop tasks that begin with "Write a program"')


class NovelSettings(Section):
    """Which tasks are new: those that are not close to a seed task, or to a task kept before (the stage novel)."""

    rouge: float = Field(0.7, gt=0.0, le=1.0, description="most ROUGE-L F to any of them")
