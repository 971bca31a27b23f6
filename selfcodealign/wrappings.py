"""What models write around an answer: thinking, special tokens, invisible characters, prompts of a session.

Each function takes a text and returns it without one kind of wrapping. Whether a tag lies in code, where it must stay,
is for the caller to say (`protected`): `answer == "</think>"` is code, and an answer may be about special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

#: Whether a position of the text lies in code.
Protected = Callable[[int], bool]

_NAMES = "think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think"
#: Languages of fences that hold thinking.
THINKING_TAGS = frozenset({"think", "thinking", "thought", "thoughts", "reasoning", "analysis", "reflection"})
_TAG = re.compile(
    rf"<(?P<close>/?)(?:{_NAMES})>|\[(?P<close2>/?)THINK\]|<\|(?P<begin>begin|end)_of_thought\|>|◁(?P<close3>/?)think▷",
    re.IGNORECASE,
)

# Turn headers that a server leaves in front of an answer.
_BEGIN_TOKEN = re.compile(
    r"\s*(?:<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<\|start\|>\s*assistant\b|<start_of_turn>\s*model\b|<\|(?:begin_of_text|assistant|python_tag|startoftext"
    r"|begin_of_solution)\|>|<s>|<bos>|\[/INST\]|<｜Assistant｜>|<｜begin▁of▁sentence｜>)\s*"
)
# What ends a turn or a document, after which a model rambles.
_END_TOKEN = re.compile(
    r"<\|[A-Za-z_]{2,30}\|>|<｜[^｜\n<>]{2,40}｜>|</s>|<(?:eos|EOT|end_of_turn|start_of_turn|file_sep|fim_prefix|fim_middle"
    r"|fim_suffix|fim_pad|repo_name|issue_start|jupyter_start)>|\[/?INST\]"
)
# The beginning of such a token, where the length limit cut it: at the end of the text.
_HALF_TOKEN = re.compile(r"(?:<\|\w{0,30}\|?|<｜[^｜\n<>]{0,40}|(?<=\n)[ \t]*</?\w{0,12})\s*\Z")

# gpt-oss (https://cookbook.openai.com/articles/openai-harmony): the answer is the message of the channel "final".
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<\n]*(?:<\|message\|>)?")
_CHANNEL = re.compile(r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b")
# The same when the server has removed the special tokens.
_FINAL_PLAIN = re.compile(r"assistant\s*final(?=\W|[A-Z])")
_CHANNEL_PLAIN = re.compile(r"analysis(?=[A-Z\s])")

_BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_UNSEEN = "\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\u00ad"
#: The characters that Python refuses outside of texts and comments, and that nobody sees.
_INVISIBLE = re.compile(f"[{_BLANKS}{_UNSEEN}]")
# A text that is never closed ends with its line, or with the text: each character is then looked at once.
_TEXT_OR_INVISIBLE = re.compile(
    r'(?P<text>"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)|' + r"'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z)|"
    r'"(?:[^"\\\n]|\\.)*+(?:"|\\?(?=\n|\Z))|' + r"'(?:[^'\\\n]|\\.)*+(?:'|\\?(?=\n|\Z))|#[^\n]*+)"
    rf"|(?P<blank>[{_BLANKS}])|(?P<unseen>[{_UNSEEN}])",
    re.DOTALL,
)
# Not an apostrophe, and not a fence.
_QUOTED = re.compile(r"(?<!\w)[rbfuRBFU]{0,2}(?:\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+')|(?<!`)`[^`\n]++`(?!`)")
_FARTHEST = 2000
_SPACE = re.compile(r"\s*+")

_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)|In \[\d+\]: ?|[ \t]+\.\.\.:(?: |$)")


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A text, and in a few words what was taken from it or changed."""

    text: str
    repairs: tuple[str, ...] = ()


def has_wrapping(text: str) -> bool:
    """Whether any function of this module could find something in the text; most texts have nothing."""
    return bool(
        _TAG.search(text)
        or _END_TOKEN.search(text)
        or _HALF_TOKEN.search(text[-60:])
        or _BEGIN_TOKEN.match(text)
        or _CHANNEL_PLAIN.match(text)
    )


def without_opening(text: str) -> Unwrapped:
    """Remove the header of a turn, channels other than the final one, and thinking that begins the text.

    >>> without_opening("<think>2 + 2?</think>4").text, without_opening("<think>hm").text
    ('4', '')
    """
    repairs: dict[str, None] = {}
    at = 0
    while True:
        if header := _BEGIN_TOKEN.match(text, at):
            at = header.end()
            repairs["special tokens"] = None
        elif (tag := _TAG.match(text, _skip_space(text, at))) and not _closes(tag):
            ends = (one for one in _TAG.finditer(text, tag.end()) if _closes(one) and not _quoted(text, one))
            end = next(ends, None)
            at = _skip_space(text, end.end()) if end else len(text)
            repairs["thinking"] = None
        else:
            break
    answer = _without_channels(text[at:])
    return Unwrapped(answer.text, tuple(dict.fromkeys((*repairs, *answer.repairs))))


def without_thinking(text: str, protected: Protected) -> Unwrapped:
    """Remove thinking within the text: what stands before a closing tag whose opening tag the prompt held, what stands
    between two tags, and what follows an opening tag that is never closed."""
    tags = [tag for tag in _TAG.finditer(text) if not protected(tag.start()) and not _quoted(text, tag)]
    if not tags:
        return Unwrapped(text)
    kept: list[str] = []
    at, thinking = 0, False
    for tag in tags:
        if not _closes(tag):
            if not thinking:
                kept.append(text[at : tag.start()])
            thinking = True
        else:
            if not thinking:
                kept.clear()  # the prompt or the chat template had opened it
            thinking = False
            at = _skip_space(text, tag.end())
    if not thinking:
        kept.append(text[at:])
    return Unwrapped("".join(kept), ("thinking",))


def without_end_token(text: str, protected: Protected) -> Unwrapped:
    """Cut the text at the first token that ends a turn, and remove half a token at its end."""
    for token in _END_TOKEN.finditer(text):
        if not protected(token.start()) and not _quoted(text, token):
            return Unwrapped(text[: token.start()], ("special tokens",))
    half = _HALF_TOKEN.search(text, max(0, len(text) - 60))
    if half and not protected(half.start()):
        return Unwrapped(text[: half.start()], ("special tokens",))
    return Unwrapped(text)


def without_invisible(text: str) -> Unwrapped:
    """Replace blanks that Python does not know, and remove what has no width; texts and comments in it keep theirs.

    >>> without_invisible("def f():\\n\\u00a0return '\\u00a0'").text
    "def f():\\n return '\\xa0'"
    """
    if not _INVISIBLE.search(text):
        return Unwrapped(text)
    found: dict[str, None] = {}

    def mend(match: re.Match[str]) -> str:
        if match["text"] is not None:
            return match["text"]
        character = match["blank"] or match["unseen"]
        found[_name_of(character)] = None
        return " " if match["blank"] else ""

    return Unwrapped(_TEXT_OR_INVISIBLE.sub(mend, text), tuple(found))


def without_prompts(code: str) -> Unwrapped:
    """Return the input of a Python or IPython session, without its prompts and its output.

    >>> without_prompts(">>> def f():\\n...     return 1\\n>>> f()\\n1\\n").text
    'def f():\\n    return 1\\nf()\\n'
    """
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if not _PROMPT.match(first):
        return Unwrapped(code)
    taken = [line[prompt.end() :] for line in lines if (prompt := _PROMPT.match(line))]
    return Unwrapped("".join(f"{line}\n" for line in taken), ("prompts of a session",))


def _without_channels(text: str) -> Unwrapped:
    body = text.lstrip()
    for channel, final in ((_CHANNEL, _FINAL), (_CHANNEL_PLAIN, _FINAL_PLAIN)):
        if not channel.match(body):
            continue
        ends = list(final.finditer(body))
        if ends:
            return Unwrapped(body[ends[-1].end() :].lstrip(), ("thinking",))
        if channel is _CHANNEL:
            return Unwrapped("", ("thinking",))  # the length limit came before the answer
    if final := _FINAL.match(body):
        return Unwrapped(body[final.end() :].lstrip(), ("special tokens",))
    return Unwrapped(text)


def _skip_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag["close"] or tag["close2"] or tag["close3"] or (tag["begin"] or "").lower() == "end")


def _quoted(text: str, found: re.Match[str]) -> bool:
    """Whether the tag stands in a text of code or in inline code, as where an answer mentions it."""
    first = max(text.rfind("\n", 0, found.start()) + 1, found.start() - _FARTHEST)
    last = text.find("\n", found.end(), found.end() + _FARTHEST)
    line = text[first : last if last >= 0 else found.end() + _FARTHEST]
    place = found.start() - first
    return any(quote.start() < place < quote.end() for quote in _QUOTED.finditer(line))


def _name_of(character: str) -> str:
    if character == "\ufeff":
        return "byte-order mark"
    if re.match(f"[{_BLANKS}]", character):
        return "no-break spaces"
    return "zero-width characters"
