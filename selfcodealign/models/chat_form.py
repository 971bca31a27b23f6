"""The form of `/v1/chat/completions`, for servers and models that have no other.

The prompt is one user message that asks to go on with it. Engines that can continue a message of the assistant get the
prompt's last line as its beginning, so that the model writes the rest of the open section and no greeting.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from selfcodealign.models.faults import RequestFault
from selfcodealign.models.forms import CONTINUE, Choice

#: In front of the prompt, so that what prompts share stays their beginning.
REQUEST = (
    "Below is an unfinished text. Go on exactly where it ends: write only what comes next in it, in the format of its "
    "examples, up to the end of the open section. Write no greeting, no comment on the task, and no code fence around "
    "the whole.\n\n"
)
#: Engines, as their lists of models name them, that continue a message of the assistant.
_CONTINUING = frozenset({"vllm", "sglang", "llamacpp"})
#: Names under which servers give the reasoning beside the text.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_THINK, _THOUGHT = "<think>", "</think>"


class ChatForm:
    """Messages, and the message that answers them."""

    path: ClassVar[str] = "chat/completions"
    holds: ClassVar[str] = "choices[0].message.content"

    def fields(self, engine: str) -> dict[str, Any]:
        return {CONTINUE: True, "add_generation_prompt": False} if engine in _CONTINUING else {}

    def write(self, body: dict[str, Any], omitted: Collection[str], *, message: bool = False) -> dict[str, Any]:
        body = dict(body)
        prompt = body.pop("prompt")
        shown, line_end, opening = prompt.rstrip("\n").rpartition("\n")
        if CONTINUE in body and CONTINUE not in omitted and line_end and not message:
            messages = [
                {"role": "user", "content": f"{REQUEST}{shown}{line_end}"},
                {"role": "assistant", "content": f"{opening}\n"},
            ]
        else:
            messages = [{"role": "user", "content": prompt if message else f"{REQUEST}{prompt}"}]
            body.pop(CONTINUE, None)
            body.pop("add_generation_prompt", None)
        if stops := list(self.stops(tuple(body.pop("stop", ())))):
            body["stop"] = stops
        if "logprobs" in body:
            body |= {"logprobs": True, "top_logprobs": body["logprobs"]}
        return {"messages": messages, **body}

    def stops(self, stop: tuple[str, ...]) -> tuple[str, ...]:
        """No white space alone: a chat model writes an empty line before it comes to the point."""
        return tuple(one for one in stop if one.strip())

    def read(self, choice: Any, *, streamed: bool = False) -> Choice:
        part = (choice.get("delta") or choice.get("message") or {}) if streamed else choice["message"]
        if part.get("tool_calls") or part.get("function_call"):
            raise RequestFault("it answers with the call of a tool, not with a text")
        refusal = part.get("refusal")
        thoughts = sum(len(told) for name in _THOUGHTS if isinstance(told := part.get(name), str))
        text = _join(part.get("content"))
        if text is None and (streamed or thoughts or refusal):
            text = ""
        # Of reasoning, the first token is not the answer's.
        likely = None if thoughts or (streamed and not text) else choice.get("logprobs")
        reason = choice.get("finish_reason")
        return Choice(text, reason, likely, thoughts, refusal if isinstance(refusal, str) else "")

    def lacks_template(self, message: str) -> bool:
        return "chat template" in message.lower() or "chat_template" in message

    def finish(self, text: str) -> str:
        """Cut off the reasoning that a server leaves in the text; some templates open it in the prompt.

        >>> ChatForm().finish("<think>Let me see.</think>\\n\\nyes"), ChatForm().finish("Let me see.</think>yes")
        ('yes', 'yes')
        """
        before, closed, after = text.partition(_THOUGHT)
        begins = text.lstrip().startswith(_THINK)
        if closed and (begins or _THINK not in before):
            return after.lstrip()
        return "" if begins else text


def _join(content: Any) -> Any:
    """The text of a message; some servers give it in parts."""
    if not isinstance(content, list):
        return content
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict) and "text" in part)
