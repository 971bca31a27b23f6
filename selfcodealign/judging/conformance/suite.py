"""Read the suite: one Markdown file per kind, one section per program.

# Heading, and what the kind means
- status: statuses that a program of this file must get, separated by commas     (defaults of the file)
## name
One sentence: what the program does.
- needs: libraries or abilities, separated by commas                             (optional; replaces a default)
a fenced block with the response, and one with the tests, both plain code
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from selfcodealign.markdown import find_blocks
from selfcodealign.sandbox import Status

#: In the order in which they run: what harms a weak judge comes last.
KINDS = ("honest", "broken", "vacuous", "forged", "hostile")
#: Whose programs may pass; all others must not.
MAY_PASS = "honest"
#: What a program may need besides libraries; the second word tells what that is.
ABILITIES = {"loopback": "sockets on the loopback", "semaphores": "semaphores of multiprocessing"}
_PROPERTIES = ("status", "proof", "needs")


@dataclass(frozen=True, slots=True)
class ConformanceProgram:
    """One program of the suite.

    `statuses` are those of `Verdict.status` that it must get one of; `proof` is the weakest that a pass must have, ""
    where the program must not pass. `needs` names libraries and `ABILITIES`.
    """

    id: str
    kind: str
    why: str
    response: str
    tests: str
    statuses: tuple[Status, ...]
    proof: str
    needs: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """What another judge gets: `program` is response and tests in one text."""
        program = f"{self.response}\n\n{self.tests}"
        fields = {"id": self.id, "kind": self.kind, "response": self.response, "tests": self.tests}
        return fields | {"program": program, "needs": list(self.needs)}

    def full_row(self) -> dict[str, Any]:
        """The row together with what the program must get, and why."""
        return self.row() | {"why": self.why, "statuses": [str(one) for one in self.statuses], "proof": self.proof}


def load_suite() -> list[ConformanceProgram]:
    """Read all programs, by kind in the order of `KINDS`."""
    folder = files("selfcodealign.judging.conformance") / "programs"
    return [one for kind in KINDS for one in parse_kind(kind, (folder / f"{kind}.md").read_text("utf-8"))]


def parse_kind(kind: str, text: str) -> list[ConformanceProgram]:
    """Parse the file of a kind. Raises `ValueError` with the section's name where one is not complete."""
    lines = text.split("\n")
    blocks = find_blocks(text)
    in_code = {line for block in blocks for line in range(block.line, block.last + 1)}
    prose = [(number, line) for number, line in enumerate(lines, 1) if number not in in_code]
    starts = [number for number, line in prose if line.startswith("## ")]
    defaults = _read_properties([line for number, line in prose if number < starts[0]])
    found = []
    for start, stop in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        name = lines[start - 1].removeprefix("## ")
        inside = [line for number, line in prose if start < number < stop]
        codes = [block.code.strip("\n") for block in blocks if start < block.line < stop]
        why = " ".join(line for line in inside if line and not line.startswith("- "))
        if len(codes) != 2 or not why:
            raise ValueError(f"{kind}/{name}: a sentence, a response and tests are wanted")
        response, tests = codes
        properties = defaults | _read_properties(inside)
        statuses = tuple(map(Status, properties["status"]))
        proof = ", ".join(properties.get("proof", ()))
        needs = tuple(properties.get("needs", ()))
        found.append(ConformanceProgram(f"{kind}/{name}", kind, why, response, tests, statuses, proof, needs))
    return found


def _read_properties(lines: list[str]) -> dict[str, list[str]]:
    properties = {}
    for line in lines:
        name, colon, values = line.removeprefix("- ").partition(":")
        if line.startswith("- "):
            if not colon or name not in _PROPERTIES:
                raise ValueError(f"{line!r} is none of {', '.join(_PROPERTIES)}")
            properties[name] = [value.strip() for value in values.split(",")]
    return properties
