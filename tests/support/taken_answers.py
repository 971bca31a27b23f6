"""Which answers a run took and kept, as its sessions tell it, and why a request was asked again after its answer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from selfcodealign.models import Completion, Sampling
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.run_folder.journal import Journal
from tests.support.moody_server import name_request

#: Seconds before an interruption from which on an answer must not be lost.
SAFE_SECONDS = 5.0
#: Why a request was asked again after the server had answered it. The run kept the answer, or it was there long before
#: an interruption and the run had not kept it: those are defects. It took the answer while the disk took no more. It
#: was interrupted while the answer was on its way. It had cancelled the request, a sample that was not needed any
#: more. It had given the request up before the answer was read to the end, and tried again.
REASONS = KEPT, LATE, NO_ROOM, UNDER_WAY, NOT_NEEDED, GIVEN_UP = (
    "kept",
    "late",
    "disk full",
    "under way",
    "not needed",
    "given up",
)
DEFECTS = (KEPT, LATE)


class Told(NamedTuple):
    """What a run did: it asked, took the answer, kept it (it is in the journal), or left it, by cancelling."""

    what: str
    request: str
    when: float


def tell_answers() -> None:
    """Let this process print what happens to its answers. A pipe takes it while the disk takes nothing."""
    complete, add, names = OnDemandModel._complete, Journal.add, dict[str, str]()

    def tell(what: str, request: str) -> None:
        os.write(1, f"{what} {request} {time.monotonic()}\n".encode())

    async def watched(self: OnDemandModel, key: str, prompt: str, sampling: Sampling, seed: int) -> Completion:
        names[key] = name_request(prompt, seed)
        tell("asked", names[key])
        try:
            return await complete(self, key, prompt, sampling, seed)
        except asyncio.CancelledError:
            tell("left", names[key])
            raise

    def keep(self: Journal, key: str, answer: Any) -> None:
        tell("took", names[key])
        add(self, key, answer)
        tell("kept", names[key])

    OnDemandModel._complete, Journal.add = watched, keep  # type: ignore[method-assign]


def read_told(lines: IO[str] | None) -> Iterator[Told]:
    """Read what a process with `tell_answers` prints, until it ends; a last line may be torn."""
    for line in lines or ():
        if line.endswith("\n"):
            what, request, when = line.split()
            yield Told(what, request, float(when))


def why_again(again: tuple[str, float, float], told: Iterable[Told], ended: Sequence[tuple[float, float]]) -> str:
    """Why a request was asked again, one of `REASONS`: by its name, the times of its first answer and of the request,
    what sessions told, and from when to when they ended."""
    request, answered, asked = again
    own = [one for one in told if one.request == request and one.when < asked]
    mine = {one.what: one.when for one in own}
    if mine.get("kept", asked) < mine.get("asked", 0):
        return KEPT
    if "kept" in mine:  # the server has come late to a try that was given up
        return GIVEN_UP
    # A server may answer a moment after the process that asked was killed: what counts is when it was asked.
    begun = max((one.when for one in own if one.what == "asked" and one.when <= answered), default=answered)
    between = [since for since, until in ended if begun <= until and since <= asked]
    if "took" in mine:
        return NO_ROOM if between else LATE
    if "left" in mine and not any(since <= mine["left"] <= until for since, until in ended):
        return NOT_NEEDED
    if not between:
        return GIVEN_UP
    return UNDER_WAY if min(between) - answered <= SAFE_SECONDS else LATE
