"""A card as the hub's own library reads it: metadata that a person may have changed, and a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from selfcodealign.dataset.licences import licence_metadata
from selfcodealign.errors import MissingExtra, PublishError, reason_of
from selfcodealign.publishing.parcel import CARD

#: Of metadata, the keys that go together.
_LICENCE = ("license", "license_name", "license_link")


class HubCard:
    """The card of a repository; `text` is what will be there, as it was read unless something was changed."""

    def __init__(self, read: str, card: Any) -> None:
        self._read, self._card = read, card
        self._changed = False

    @property
    def text(self) -> str:
        """The whole card."""
        return str(self._card) if self._changed else self._read

    @property
    def body(self) -> str:
        """The text below the metadata."""
        return self._card.text

    @body.setter
    def body(self, text: str) -> None:
        self._card.text, self._changed = text, True

    @property
    def licence(self) -> str:
        """The licence in words: the identifier, or the name where it is another; "" for none."""
        data = self._card.data
        return str(data.get("license_name") or data.get("license") or "")

    def get(self, key: str) -> Any:
        """A value of the metadata."""
        return self._card.data.get(key)

    def set(self, **values: Any) -> None:
        """Set values of the metadata; None removes one."""
        for key, value in values.items():
            self._card.data[key] = value
        self._changed = True

    def state_licence(self, name: str) -> None:
        """State the licence in place of what the card said."""
        self.set(**(dict.fromkeys(_LICENCE) | licence_metadata(name)))

    def missing(self, expected: Sequence[str]) -> list[str]:
        """Which of the expected metadata the card lacks."""
        return [key for key in expected if not self._card.data.get(key)]


def read_card(text: str, kind: Literal["dataset", "model"]) -> HubCard:
    """Read a card with huggingface_hub. Raises `PublishError` for metadata that it refuses, `MissingExtra` without."""
    try:
        from huggingface_hub import DatasetCard, ModelCard
    except ImportError:
        raise MissingExtra("push", "hub") from None
    try:
        return HubCard(text, (DatasetCard if kind == "dataset" else ModelCard)(text))
    except Exception as error:  # the YAML reader, and checks of values
        raise PublishError(
            f"the metadata of {CARD} cannot be read: {_one_line(error)}; mend what stands between ---"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or reason_of(error)
