"""Why an answer is in the data set, or is not, and what its verdict says, in short sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from selfcodealign.run_folder.marks import Mark
from selfcodealign.sandbox import Status

_ID = re.compile(r"\b[0-9a-f]{16}\b")
#: What the drops of selection by comparison mean, the id of the other row coming after.
_LIKE = {
    "same_instruction": "its instruction is, white space aside, that of",
    "same_response": "its response is, white space aside, that of",
    "same_names": "its answer defines exactly the names of",
    "near_instruction": "its instruction is nearly that of",
    "near_response": "its response is nearly that of",
    "near_code": "its code is nearly that of",
    "near_copy": "it is nearly a copy of",
    "copy": "it is a copy of",
}


def split_ids(text: str) -> list[tuple[str, str]]:
    """Split a text into pieces of (text, the id of a row that it is or "").

    >>> split_ids("0123456789abcdef (0.9)")
    [('0123456789abcdef', '0123456789abcdef'), (' (0.9)', '')]
    """
    pieces, end = [], 0
    for found in _ID.finditer(text):
        pieces += [(text[end : found.start()], ""), (found[0], found[0])]
        end = found.end()
    return [piece for piece in [*pieces, (text[end:], "")] if piece[0]]


def explain_fate(row: Mapping[str, Any]) -> str:
    """Return what became of a row at its stage."""
    if row["kept"]:
        return "in the data set" if "pass_rate" in row else f"kept by {row['stage']}"
    reason, detail = row.get("reason") or "", row.get("detail") or ""
    told = f"{_LIKE[reason]} {detail}" if reason in _LIKE and detail else detail
    return f"dropped by {row['stage']}: {reason}" + (f" – {told}" if told else "")


def explain_choice(
    row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], mark: Mark | None, choose: str
) -> Iterator[str]:
    """Yield why this answer was chosen among all answers to its instruction; `choose` is `selection.choose`."""
    if "pass_rate" not in row or not row["kept"]:
        return
    samples, rate = row["samples"], row["pass_rate"]
    if rate is not None and not math.isnan(rate):
        yield f"{round(rate * samples)} of {samples} answers to this instruction were verified ({rate:.0%})."
    beaten = sum(one.get("reason") == "one_per_instruction" for one in others)
    if mark is not None and mark.label == "keep":
        yield "A mark keeps it: no filter of quality and no comparison was asked."
    elif not beaten:
        yield "No other answer to the instruction was left to choose from."
    elif choose == "agreement":
        yield f"It agrees most with its siblings (agreement {row['agreement']:g}); {beaten} others were left out."
    else:
        yield f"Of {beaten + 1} answers that could stay the first by id was drawn: ids are hashes, any was as likely."


def describe_verdict(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the sandbox saw, as pairs of a name and a value."""
    status = row.get("status")
    if not status:
        return
    yield "status", status
    if row.get("error_type") or row.get("message"):
        yield "error", f"{row.get('error_type') or ''} {row.get('message') or ''}".strip()
    if (row.get("line") or -1) > 0:
        yield "line", str(row["line"])
    for name, key, form in (
        ("seconds", "seconds", "{:.3f}"),
        ("memory", "peak_memory_mib", "{:.0f} MiB"),
        ("mutants killed", "mutation_score", "{:.0%}"),
        ("passes its siblings' tests", "passes_siblings", "{:.0%}"),
        ("its tests are passed by siblings", "tests_pass", "{:.0%}"),
        ("agreement", "agreement", "{:g}"),
    ):
        value = row.get(key)
        if value is not None and not math.isnan(value):
            yield name, form.format(value)
    if row.get("killed_by_value") is not None:
        yield "notices other values", "yes" if row["killed_by_value"] else "no"
    if status == Status.PASSED and row.get("proof"):
        yield "proof", {"split": "split (also in a process apart from its tests)"}.get(row["proof"], row["proof"])
    if row.get("repairs"):
        yield "repairs", row["repairs"]
