"""Tasks that were made of no code: the row of one, with what a seed would say left empty."""

from __future__ import annotations

from typing import Any, TypeVar

from selfcodealign.rows import Instruction, digest
from selfcodealign.sources.licences import UNKNOWN
from selfcodealign.stages.instructions import LANGUAGE

Task = TypeVar("Task", bound=Instruction)


def without_seed(task: type[Task], /, *, seed_id: str, origin: str, **own: Any) -> Task:
    """A task that comes from `origin`: a model, whose licence applies, or a data set, of which `own` says more.

    `seed_id` names what stands in the place of a seed; `own` are the fields that say something.
    """
    nothing: dict[str, Any] = {
        "source_id": seed_id,
        "seed": "",
        "function": "",
        "source_path": "",
        "source_line": 0,
        "commit": "",
        "licence": UNKNOWN,
        "kind": "none",
        "concepts_id": digest(seed_id, "no concepts"),
        "concepts": [],
        "category": "",
        "language": LANGUAGE,
        "difficulty": "",
    }
    return task(seed_id=seed_id, origin=origin, **nothing | own)
