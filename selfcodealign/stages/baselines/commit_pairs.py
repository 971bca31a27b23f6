"""Commit → instruction and response, as they are: what OctoPack trains on (arXiv 2308.07124).

The commit's subject and the code before it are the task, the code after it is the answer. No model is asked, and
nothing is run: the rows say so (`status` is "not_run").
"""

from __future__ import annotations

from typing import Any

from selfcodealign.judging.stored import not_run_fields
from selfcodealign.rows import Dropped, Response, Seed, digest, grow, without_concepts
from selfcodealign.stages import Each
from selfcodealign.stages.commits import ask_for_change, fence_file, language_of, refuse_other_kinds
from selfcodealign.stages.siblings import unmeasured

#: Names the layout of task and answer in the ids of rows: another layout has other ids.
_LAYOUT = "commit pair 1"


async def pair(seed: Seed) -> list[Response | Dropped]:
    """The row of one commit; `no_commit` for a seed that is none."""
    if seed.kind != "commits":
        return [Dropped(parent=seed.id, reason="no_commit", detail=seed.kind, row=seed.fields())]
    instruction_id = digest(seed.id, _LAYOUT)
    own: dict[str, Any] = {
        "instruction_id": instruction_id,
        "category": "",
        "language": language_of(seed),
        "difficulty": "",
        "instruction": ask_for_change(seed, seed.commit_message),
        "response_id": digest(instruction_id, "response"),
        "sample": 0,
        "completion": "",
        "response": fence_file(seed, seed.seed),
        "tests": "",
        "repairs": "",
    }
    return [grow(without_concepts(seed, "commit"), Response, **own, **not_run_fields(), **unmeasured())]


COMMIT_PAIRS = Each(
    name="commit_pairs",
    takes=Seed,
    gives=Response,
    columns=("instruction", "commit_message", "status", "function", "origin"),
    check=lambda context: refuse_other_kinds(context, "commit_pairs"),
    decided_by=lambda context: {"layout": _LAYOUT},
    build=lambda context: pair,
    rows_at_once=lambda context: 64,
)
