"""What a stage needs that asks a chat model with one message and no worked examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from selfcodealign.generation.message import Message
from selfcodealign.models import Sampling
from selfcodealign.models.usage import Usage
from selfcodealign.stages.context import Context


def ask_chat(
    context: Context, kind: str, wanted: tuple[str, ...], words: str, sampling: Sampling, stage: str
) -> Message:
    """A question of a stage to its chat model, seeded by its `kind`; the model must be open or known."""
    return Message(
        context.model_of(stage),
        context.few_shot,
        kind,
        wanted,
        examples=0,
        draws=0,
        sampling=sampling,
        random_seed=context.recipe.random_seed,
        usage=context.asked.setdefault(stage, Usage()),
        words=words,
    )


def chat_facts(context: Context, kind: str, words: str, stage: str) -> dict[str, Any]:
    """What decides the answers besides the stage's own settings."""
    return {**context.asking_model(stage), f"words of the message of {kind}": words}


def check_chat(context: Context, stage: str, setting: str) -> Iterator[str]:
    """What is wrong where a setting asks for a chat model and the stage's model is none."""
    if context.model_settings(stage).api != "chat":
        section = context.model_section(stage)
        yield f'{setting} asks a chat model: set {section}.api = "chat" and {section}.urls, or prompt = "few-shot"'
