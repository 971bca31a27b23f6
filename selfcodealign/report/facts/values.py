"""The facts of a run as JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from selfcodealign.report.asked import AskedAccount
from selfcodealign.report.facts.types import ConceptGroup, Rate, RunFacts

#: What follows from the fields of a value, and is told besides them.
_DERIVED: Mapping[type, str] = {Rate: "share", ConceptGroup: "count"}


def facts_values(facts: RunFacts) -> dict[str, Any]:
    """All facts by the names of their fields; numbers that are none (not measured, infinite) are null."""
    return _plain(facts)


def _plain(value: Any) -> Any:
    if isinstance(value, AskedAccount):
        return _plain(value.fields())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        derived = _DERIVED.get(type(value))
        return found | {derived: _plain(getattr(value, derived))} if derived else found
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
