"""How many tokens a model takes, and how many a text has, as far as this is known without loading the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.models.revisions import locate_folder

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

#: Characters per token where nothing counts tokens: no tokenizer is at hand, or a server gives no usage. With SmolLM2's
#: tokenizer the standard library has 3.8, the worked examples of `few_shot/python.md` 3.4 and their tests alone 2.6; a
#: value below the middle lets estimates err upwards.
TOKEN_CHARACTERS = 3.2
#: How far an estimate has to exceed the context before anything is said.
ESTIMATE_MARGIN = 1.5
#: Fields of a config.json that state the context.
CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


@dataclass(frozen=True)
class Room:
    """A context in tokens, and the tokenizer where there is one."""

    context: int
    tokenizer: Any = None

    def measure(self, text: str) -> int:
        """The tokens of a text; without a tokenizer an estimate."""
        return len(self.tokenizer.encode(text).ids) if self.tokenizer else count_roughly(text)

    def holds(self, tokens: int) -> bool:
        """Whether a prompt of so many tokens (by `measure`) leaves room for an answer, or may."""
        return tokens < self.context if self.tokenizer else tokens <= self.context * ESTIMATE_MARGIN


def count_roughly(text: str) -> int:
    """Estimate the tokens of a text from its length."""
    return round(len(text) / TOKEN_CHARACTERS)


def find_room(settings: ModelSettings) -> Room | None:
    """Return what the folder of a checkpoint says of its context; None for other models and where it says nothing."""
    folder = locate_folder(settings.name) if settings.name and not settings.urls else None
    config = _read(folder / "config.json") if folder is not None else {}
    text = config.get("text_config", config)
    context = next((text[field] for field in CONTEXT_FIELDS if isinstance(text.get(field), int)), None)
    if folder is None or context is None:
        return None
    return Room(context, find_tokenizer(settings))


def find_tokenizer(settings: ModelSettings) -> Any:
    """Return the tokenizer (of the package `tokenizers`) in the folder that names the model; None where there is none.

    A server's model counts as well: it may be named by its folder.
    """
    folder = locate_folder(settings.name) if settings.name else None
    if folder is None or not (folder / "tokenizer.json").is_file() or not find_spec("tokenizers"):
        return None
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _read(path: Path) -> dict[str, Any]:
    """A JSON file; empty if it is damaged: loading the model says so."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
