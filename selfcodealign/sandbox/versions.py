"""What a server reports of versions of a program that ran one after the other in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Version:
    """What one version came to: as the outcome of a run alone, the values that it changed, its turns."""

    outcome: dict[str, Any]
    changed: int
    turns: int


def read_versions(reports: Sequence[Any], most: int) -> list[Version]:
    """Read each version by its report and those before it, up to one that the harness did not write."""
    found: list[Version] = []
    own: list[Any] = []
    for report in reports:
        if type(report) is not dict:
            break
        if "version" not in report:
            own.append(report)
            continue
        number, summary, changed, turns = map(report.get, ("version", "summary", "changed", "turns"))
        if number != len(found) or len(found) == most or type(summary) is not dict:
            break
        if type(changed) is not int or type(turns) is not int or turns < 0:
            break
        outcome = {"reports": [*own, summary], "ended_by": "", "exit_code": 0}
        outcome |= {"output": "", "seconds": 0.0, "peak_memory_mib": 0.0}
        found.append(Version(outcome, changed, turns))
        own = []
    return found
