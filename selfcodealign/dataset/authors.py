"""Who wrote which field of the rows, in words: for the card, `show` and the card of a tuned model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfcodealign.dataset.markup import code, plain

#: The file in a data set's folder that has the authors of its fields.
AUTHORS_FILE = "written_by.json"


@dataclass(frozen=True)
class Author:
    """What gave a field its text: `stage`, and the `model` that it asked, of this `revision` ("" where it asked none).

    `source` says that the stage read its rows from outside the run.
    """

    field: str
    stage: str
    model: str = ""
    revision: str = ""
    source: bool = False

    def describe(self, kinds: Iterable[str] = ()) -> str:
        """The author in Markdown; `kinds` are those of the rows' seeds.

        >>> Author("response", "responses", "m", "abc").describe()
        '`m`, revision `abc`'
        """
        if self.model:
            return code(self.model) + (f", revision {code(self.revision)}" if self.revision else "")
        if "commits" in kinds:
            return "people, in commits"
        if "imported" in kinds:
            return "the authors of the data sets that the origins name"
        return (
            "people or data sets, as the origins say"
            if self.source
            else f"no model: the stage {plain(self.stage)} made it"
        )

    def fields(self) -> dict[str, Any]:
        """The author as JSON values."""
        return asdict(self)


def models_of(authors: Iterable[Author]) -> list[str]:
    """The names of the models among the authors, each once."""
    return list(dict.fromkeys(one.model for one in authors if one.model))


def of_field(authors: Iterable[Author], field: str) -> list[Author]:
    """The authors of one field."""
    return [one for one in authors if one.field == field]


def tell_pairs(authors: Sequence[Author], kinds: Iterable[str]) -> str:
    """Say behind "instruction–response pairs" who wrote the two.

    >>> tell_pairs([Author("instruction", "i", "a"), Author("response", "r", "b")], ["functions"])
    ': `a` wrote the instructions, `b` the responses'
    """
    asked, answered = (_names(of_field(authors, field)) for field in ("instruction", "response"))
    if asked and asked == answered:
        return f" that {asked} wrote"
    if asked and answered:
        return f": {asked} wrote the instructions, {answered} the responses"
    if not asked and not answered:
        if "commits" in kinds:
            return " out of commits that people wrote; no model wrote any of them"
        return " that no model of this run wrote: they come from the origins below" if authors else ""
    from_people = "people wrote in commits" if "commits" in kinds else "come from the origins below"
    if answered:
        return f": {answered} wrote the responses; the instructions {_verb(from_people)}"
    return f": {asked} wrote the instructions; the responses {_verb(from_people)}"


def _verb(text: str) -> str:
    return text if text.startswith("come") else f"are what {text}"


def _names(authors: Sequence[Author]) -> str:
    return " and ".join(map(code, models_of(authors)))
