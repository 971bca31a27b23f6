"""Wordings of instructions."""

from __future__ import annotations

import random

from tiny.tasks import Task

_FUNCTION = (
    "Write a function `{call}`: {what}.",
    "Define `{call}` to do this: {what}.",
    "Please {what}. Call the function `{call}`.",
    "Implement `{call}`. It should {what}.",
)
_CLASS = (
    "Write a class `{call}`. It should {what}.",
    "Define a class `{call}` to {what}.",
)


def write_instruction(task: Task, rng: random.Random) -> str:
    """Write the task's instruction in a random wording, with the function, its arguments and every constant."""
    wordings = _CLASS if task.category == "class" else _FUNCTION
    return rng.choice(wordings).format(call=f"{task.name}({task.arguments})", what=task.description)
