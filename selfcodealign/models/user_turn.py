"""The beginning of a chat template, up to where the text of the user begins, and where that text ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models.chat import write_prompt
from selfcodealign.models.revisions import ask_hub, find_commit, locate_folder

#: Stands for the user's text when a template is rendered.
_TEXT = "THE-TEXT-OF-THE-USER"


@dataclass(frozen=True)
class UserTurn:
    """What stands before the user's text, and the strings of which each ends it."""

    beginning: str
    stops: tuple[str, ...]


def open_user_turn(name: str, revision: str | None = None, system: str = "") -> UserTurn | None:
    """Read the user's turn out of a chat template; None where a tokenizer has none.

    `name` is a folder or a hub name, or "plain" for the template that this package's training writes. `system` is the
    text of a system message in front. Raises `ModelError`, and `MissingExtra` without transformers.
    """
    if name == "plain":
        # As the template lays it out: a system message stands in front, without a header.
        front = f"{system}\n\n" if system else ""
        return _read(lambda messages: front + write_prompt(messages[-1]["content"]), "", "")
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra("reading a chat template", "local", ", or set prequery.template=plain") from None
    folder = locate_folder(name)
    if folder is None and find_commit(name, revision) is None:
        ask_hub(name, revision)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder or name), revision=None if folder else revision)
    except (OSError, ValueError) as error:
        raise ModelError(f"the tokenizer of {name} cannot be loaded: {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        return None
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]

    def render(messages: list[dict[str, str]]) -> str:
        try:
            return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program: it may raise anything
            raise ModelError(f"the chat template of {name} refuses a message: {error}") from error

    # The engine prepends the begin token to every prompt.
    return _read(render, system, tokenizer.bos_token if begins else "", tokenizer.eos_token or "")


def _read(render: Any, system: str, begins: str, end: str = "") -> UserTurn:
    messages = [{"role": "system", "content": system}] if system else []
    beginning, _, behind = render([*messages, {"role": "user", "content": _TEXT}]).partition(_TEXT)
    header = next((line.strip() for line in reversed(beginning.splitlines()) if line.strip()), "")
    found = [next((line.strip() for line in behind.splitlines() if line.strip()), ""), header, end]
    return UserTurn(beginning.removeprefix(begins), tuple(dict.fromkeys(one for one in found if one)))
