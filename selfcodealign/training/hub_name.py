"""The base model of a training as the hub names it. Imports nothing heavy: cards are also written without torch."""

from __future__ import annotations

import re
from pathlib import Path

#: A repository of the hub, with its owner.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def name_on_hub(model: str) -> str | None:
    """The name where it is one of the hub's; None for a folder, and for the model in this package."""
    return None if Path(model).exists() or not _HUB_NAME.fullmatch(model) else model
