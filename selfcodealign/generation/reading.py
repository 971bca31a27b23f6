"""Read the sections of a completion, and say what is missing where one cannot be read.

The last closing tag is a stop string: engines end the text at it, at the next example or at the end token, and do not
say which, so the last section may end without it. Before it, weak models forget a closing tag; a section that is
complete without it is read, and `repairs` says so. Chat models open the first section once more, after a greeting, in a
code fence, or below a repetition of what the prompt shows: the text in front of it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Characters of the last line that are quoted in a problem.
_LAST_LINE = 100
#: A first line that announces the answer: nothing of it belongs to a section.
_GREETING = re.compile(r"\s*(?:sure|certainly|of course|absolutely|okay|got it)\b[^\n]*[:!.][ \t]*\n", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """The sections of a completion by tag, none if there is a `problem`; `repairs` names what was forgotten."""

    sections: dict[str, str] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    problem: str = ""


def read_sections(completion: str, wanted: Sequence[str]) -> Reading:
    """Read the wanted sections of a completion that was not cut; the prompt has opened the first one.

    A section without its closing tag ends at the opening tag of the next one, alone on a line, if all fenced code in it
    is closed.

    >>> read_sections("print(1)\\n</response>\\n<tests>\\nassert True\\n", ["response", "tests"]).sections
    {'response': 'print(1)', 'tests': 'assert True'}
    >>> read_sections("print(1)\\n<tests>\\nassert True\\n", ["response", "tests"]).repairs
    ('</response> added',)
    >>> read_sections("print(1)\\n</response>\\n", ["response", "tests"]).problem
    '<tests> is missing; the model ended the text after "</response>"'
    """
    found: dict[str, str] = {}
    repairs: list[str] = []
    rest = _begin(completion, wanted[0])
    if rest != completion:
        repairs.append(f"text before <{wanted[0]}> left out")
    for tag, following in zip(wanted, [*wanted[1:], None], strict=True):
        text, closed, after = rest.partition(f"</{tag}>")
        if following is not None:
            opened = re.search(rf"^[ \t]*<{following}>", after if closed else rest, re.MULTILINE)
            if not closed and opened is not None and _is_complete(rest[: opened.start()]):
                text, after = rest[: opened.start()], rest[opened.end() :]
                repairs.append(f"</{tag}> added")
            elif not closed:
                what = f"</{tag}> is missing" if opened is not None else f"</{tag}> and <{following}> are missing"
                return Reading(problem=_tell_end(what, completion))
            else:
                between, opening, after = after.partition(f"<{following}>")
                if not opening:
                    return Reading(problem=_tell_end(f"<{following}> is missing", completion))
                if between.strip():
                    return Reading(problem=_tell_end(f"text stands between </{tag}> and <{following}>", completion))
        found[tag] = text.strip()
        if not found[tag]:
            return Reading(problem=_tell_end(f"<{tag}> is empty", completion))
        rest = after
    return Reading(found, tuple(repairs))


def _begin(completion: str, tag: str) -> str:
    """The text from where the first section begins.

    >>> _begin("Sure, here it is:\\n\\n```xml\\n<task>\\nAdd.\\n```\\n", "task")
    '\\nAdd.\\n'
    """
    opened = re.search(rf"^[ \t]*<{tag}>[ \t]*$", completion, re.MULTILINE)
    if opened is None or f"</{tag}>" in completion[: opened.start()]:
        greeting = _GREETING.match(completion)
        return completion[greeting.end() :] if greeting else completion
    before, text = completion[: opened.start()], completion[opened.end() :]
    if not _is_complete(before) and not _is_complete(text):  # a fence around everything
        text = re.sub(r"\n[ \t]*(?:`{3,}|~{3,})[ \t]*\s*\Z", "\n", text)
    return text


def _is_complete(text: str) -> bool:
    return len(_FENCE.findall(text)) % 2 == 0


def _tell_end(problem: str, completion: str) -> str:
    last = completion.strip().rpartition("\n")[2].strip()
    if not last:
        return f"{problem}; the model wrote nothing"
    return f'{problem}; the model ended the text after "{last[-_LAST_LINE:]}"'
