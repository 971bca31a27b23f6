"""Tasks to learn from verdicts: prompts with the tests that judge answers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfcodealign.dataset.export import export_rows
from selfcodealign.errors import TrainingError
from selfcodealign.judging.given_tests import read_given_tests
from selfcodealign.models.chat import Chat
from selfcodealign.training.conversations import Messages
from selfcodealign.training.events import Proof
from selfcodealign.training.masking import Piece
from selfcodealign.training.tables import as_messages, digest_rows, read_table

_OPTIONAL = ("proof", "reference", "entry_point")
#: Why a task is left out that has no proof that its tests can be passed in a process apart from them.
WITHOUT_PROOF = "without split proof"


@dataclass(frozen=True)
class Task:
    """A prompt that ends with the user's turn, tests as one text, and the task's own answer where it has one."""

    number: int
    prompt: Messages
    tests: str
    reference: str = ""


@dataclass(frozen=True)
class Tasks:
    """Tasks in order, their source, a digest of their text, and the numbers of those left out by reason."""

    rows: list[Task]
    source: str
    digest: str
    dropped: dict[str, int]


@dataclass(frozen=True)
class Prompt:
    """A task's prompt, rendered and tokenized."""

    task: Task
    text: str
    tokens: int


def load_tasks(dataset: str | Path, proof: Literal["split", "any"]) -> Tasks:
    """Load the tasks of a run folder or a data-set folder (as `export --to rl` writes them), or a .jsonl or .parquet
    file with the columns prompt (a text or messages) and tests (a text or a list of them).

    With `proof` "split", tasks whose row says that their own answer has no split proof are left out. Raises
    `TrainingError`.
    """
    path = Path(dataset)
    from_run = path.is_dir()
    found = (
        export_rows(path, "rl", proof="any", error=TrainingError)
        if from_run
        else read_table(path, ("prompt", "tests"), "tasks", _OPTIONAL)
    )
    if not found:
        raise TrainingError(f"{path} has no tasks: none of its examples has tests that it passed")
    taken = [
        (number, row) for number, row in enumerate(found) if proof == "any" or row.get("proof", "split") == "split"
    ]
    if not taken:
        raise TrainingError(
            f"none of the {len(found)} tasks of {path} has split proof (its own answer passed in a process apart from "
            "its tests): set grpo.proof = any to take them all, or run the recipe again with execution.split = true"
        )
    rows = [_read_task(row, number) for number, row in taken]
    dropped = {WITHOUT_PROOF: len(found) - len(taken)} if len(taken) < len(found) else {}
    return Tasks(rows, str(dataset), digest_rows([[one.prompt, one.tests] for one in rows]), dropped)


def render_prompts(tasks: Sequence[Task], chat: Chat, most: int) -> tuple[list[Prompt], dict[str, int]]:
    """Render prompts as the tuned model reads them; count tasks whose prompt has more than `most` tokens.

    Raises `TrainingError` if no task is left.
    """
    texts = [chat.render(task.prompt, answer_next=True) for task in tasks]
    lengths = [len(ids) for ids in chat.tokenize(texts)]
    rows = [Prompt(*one) for one in zip(tasks, texts, lengths, strict=True) if one[2] <= most]
    if not rows:
        raise TrainingError(f"no task is left: every prompt has more than {most} tokens (grpo.max_prompt_tokens)")
    dropped = Counter({"prompt_too_long": len(tasks) - len(rows)})
    return rows, {reason: count for reason, count in dropped.items() if count}


def prove_prompts(prompts: Sequence[Prompt], chat: Chat, count: int) -> Proof:
    """Show the prompts of the first `count` tasks as the model reads them, with the task's own answer marked."""
    shown = prompts[:count]
    return Proof(
        [one.task.number for one in shown],
        [list(_pieces(one, chat)) for one in shown],
        names=[f"task {one.task.number}" for one in shown],
        says="the task's own answer, which passes its tests, is",
        counted="of the task's answer",
    )


def _pieces(prompt: Prompt, chat: Chat) -> Sequence[Piece]:
    asked = Piece(prompt.text, False, prompt.tokens)
    if not prompt.task.reference:
        return [asked]
    return [asked, Piece(prompt.task.reference, True, len(chat.tokenize([prompt.task.reference])[0]))]


def _read_task(row: Mapping[str, Any], number: int) -> Task:
    prompt = as_messages(row["prompt"], "user", f"row {number}: prompt")
    if prompt[-1]["role"] != "user":
        raise TrainingError(f"row {number}: prompt has to end with what the user says, not with {prompt[-1]['role']}")
    tests = read_given_tests([row["tests"]], row.get("entry_point") or "")
    if tests is None:
        raise TrainingError(f"row {number}: tests are no code: give Python code, or a list of assertions")
    if not tests:
        raise TrainingError(f"row {number} has no tests: leave it out, because no answer to it can be judged")
    reference = row.get("reference")
    return Task(number, prompt, tests, reference if isinstance(reference, str) else "")
