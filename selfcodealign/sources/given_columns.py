"""Which columns of a data set of instructions hold what: those of the published ones, and those that settings name.

A published name is looked for in the order of its list. Chat messages count where there is no plain column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.settings import ImportedSettings

#: In the place of a column's name: the data set has none that counts.
NONE = "none"
_INSTRUCTIONS = (
    "instruction", "instruct_prompt", "problem", "question", "query", "complete_prompt", "prompt", "text", "input",
)  # fmt: skip
_RESPONSES = (
    "response", "output", "solution", "completion", "answer", "code", "canonical_solution", "given_response",
)  # fmt: skip
_TESTS = (
    "tests", "test", "test_list", "test_cases", "testcases", "testcase", "unit_tests", "test_code", "assertion",
    "assertions", "asserts", "given_tests",
)  # fmt: skip
_MESSAGES = ("messages", "conversations", "conversation")
_IDS = ("id", "task_id", "question_id", "problem_id", "seq_id", "uuid", "uid", "instruction_id")
_LICENCES = ("license", "licence", "licenses")
_LANGUAGES = ("programming_language", "language", "lang")
_ENTRY_POINTS = ("entry_point", "function_name")
#: A column that is only a part of what its row says → those that come before it, or behind it, where they are there.
_BEFORE = {"canonical_solution": ("complete_prompt", "prompt"), "test_list": ("test_setup_code", "test_imports")}
_BEHIND = {"instruction": ("input",)}  # of Alpaca
_SPEAKERS = {"user": ("user", "human"), "assistant": ("assistant", "gpt", "model")}


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns by what they hold; several of one kind are joined. Without a name: no such column."""

    instruction: tuple[str, ...]
    response: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    id: str | None = None
    licence: str | None = None
    language: str | None = None
    entry_point: str | None = None

    def names(self) -> list[str]:
        """All columns that are read, each once."""
        single = (self.id, self.licence, self.language, self.entry_point)
        return list(dict.fromkeys([*self.instruction, *self.response, *self.tests, *filter(None, single)]))


def find_columns(known: Sequence[str], settings: ImportedSettings, where: str) -> Columns:
    """Find what the columns `known` of a data set hold. Raises `SourceError` without a column of instructions, and for
    a column that a setting names and that is not there."""
    instruction, response = settings.instruction_column, settings.response_column
    messages = _first(_MESSAGES, known)
    if not instruction and messages and not (_first(_INSTRUCTIONS, known) and _first(_RESPONSES, known)):
        instruction, response = [messages], response or [messages]
    found = Columns(
        _named(instruction or _complete(_first(_INSTRUCTIONS, known), known), "instruction", known, where),
        _named(response or _complete(_first(_RESPONSES, known), known), "response", known, where),
        _named(settings.tests_column or _complete(_first(_TESTS, known), known), "tests", known, where),
        *(
            next(iter(_named([named] if named else _as_list(_first(usual, known)), kind, known, where)), None)
            for kind, named, usual in (
                ("id", settings.id_column, _IDS),
                ("licence", settings.licence_column, _LICENCES),
                ("language", settings.language_column, _LANGUAGES),
            )
        ),
        entry_point=_first(_ENTRY_POINTS, known),
    )
    if not found.instruction:
        raise SourceError(
            f"{where} has no column of instructions that is known (it has {', '.join(known)}): set "
            "imported.instruction_column"
        )
    return found


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in names if name in known), None)


def _as_list(name: str | None) -> list[str]:
    return [name] if name else []


def _complete(name: str | None, known: Sequence[str]) -> list[str]:
    if name is None:
        return []
    before = [one for one in _BEFORE.get(name, ()) if one in known]
    # Two prompts of one task are the same task, said twice.
    before = before[:1] if name == "canonical_solution" else before
    return [*before, name, *(one for one in _BEHIND.get(name, ()) if one in known)]


def _named(names: Sequence[str], kind: str, known: Sequence[str], where: str) -> tuple[str, ...]:
    if list(names) == [NONE]:
        return ()
    for name in names:
        if name not in known:
            raise SourceError(
                f'{where} has no column "{name}" (it has {", ".join(known)}): set imported.{kind}_column'
                f"{did_you_mean(name, known)}"
            )
    return tuple(names)


def say(row: Mapping[str, Any], columns: Sequence[str], speaker: str) -> str | None:
    """What a row says in these columns; of chat messages the first turn of the speaker ("user" or "assistant").

    None for a value of another form, "" where there is nothing.
    """
    parts: list[str] = []
    for name in columns:
        text = _read_cell(row.get(name), speaker)
        if text is None:
            return None
        parts += [text] if text.strip() else []
    joint = "\n\n" if speaker == "user" else "\n"
    return "".join(part if last or part.endswith("\n") else part + joint for last, part in _mark_last(parts))


def _mark_last(parts: Sequence[str]) -> Iterator[tuple[bool, str]]:
    return ((number == len(parts) - 1, part) for number, part in enumerate(parts))


def _read_cell(value: Any, speaker: str) -> str | None:
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            unpacked = json.loads(value)
        except (ValueError, RecursionError):
            return value
        turn = _read_turns(unpacked, speaker)
        return value if turn is None else turn
    if value is None or isinstance(value, str):
        return value or ""
    return _read_turns(value, speaker)


def _read_turns(value: Any, speaker: str) -> str | None:
    """The first turn of a speaker; "" if it has none, None where these are no messages."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    for turn in value:
        role, said = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if role is None:
            return None
        if role in _SPEAKERS[speaker]:
            if isinstance(said, list):  # parts, of which texts count
                texts = [part.get("text") for part in said if isinstance(part, dict)]
                return "\n".join(text for text in texts if isinstance(text, str))
            return said if isinstance(said, str) else None
    return ""
