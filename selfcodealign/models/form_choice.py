"""Choose the form that `model.api` names."""

from __future__ import annotations

from typing import Literal

from selfcodealign.models.chat_form import ChatForm
from selfcodealign.models.forms import COMPLETIONS, Form

#: The values of `model.api`.
Api = Literal["completions", "chat"]


def other_api(api: Api) -> Api:
    """The form that a server may have instead."""
    return "completions" if api == "chat" else "chat"


def choose_form(api: Api) -> Form:
    """The form that `model.api` names."""
    return ChatForm() if api == "chat" else COMPLETIONS
