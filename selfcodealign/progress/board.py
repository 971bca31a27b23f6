"""The journey on a terminal: a line for each stage, finished, at work or ahead, in order, and the totals below."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import monotonic

from rich.cells import cell_len
from rich.text import Text

from selfcodealign.progress import Asked
from selfcodealign.progress.columns import Line, brief, brief_clock, draw_line, fit
from selfcodealign.progress.tally import TOKEN_SECONDS, Tally, clock

#: Lines that are kept free for parts of stages, such as the models that an evaluation asks.
PARTS = 2
HEADER = Line(" ", "stage", "dim", cells={name: name for name in ("rows", "rate", "kept", "cached", "tok/s", "time")})
#: Reasons of drops that a wide terminal shows.
MOST_REASONS = 4


@dataclass(frozen=True)
class View:
    """What a frame shows of the work at one moment; `notes` stand in the place of a stage's rates, `left` are seconds.

    `parts` is the number of lines that are drawn below for other tasks.
    """

    tallies: Mapping[str, Tally]
    notes: Mapping[str, str]
    left: Mapping[str, float | None]
    asked: Mapping[str, Asked]
    budget: str
    began: float
    width: int
    height: int
    parts: int = 0


@dataclass(frozen=True)
class Ended:
    """How a stage ended; `tally` is None where an earlier run has finished it."""

    summary: str = ""
    tally: Tally | None = None
    seconds: float = 0.0


class Board:
    """The stages of one journey."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = list(stages)
        self._ended: dict[str, Ended] = {}
        self._foreseen: dict[str, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}
        self._written: dict[str, deque[tuple[float, int]]] = {}

    def rest(self, stage: str) -> None:
        """An earlier run has finished this stage."""
        self._ended.setdefault(stage, Ended())

    def foresee(self, stage: str, total: int) -> None:
        """A stage ahead is to get so many rows."""
        self._foreseen[stage] = total

    def count_rows(self, stage: str, entered: int, kept: int) -> None:
        """The books of a finished stage."""
        self._rows[stage] = entered, kept

    def finish(self, tally: Tally, summary: str) -> None:
        """A stage is complete; under a budget it may start and end several times."""
        before = self._ended.get(tally.name, Ended())
        self._ended[tally.name] = Ended(summary, tally, before.seconds + tally.seconds())

    def summaries(self) -> list[tuple[str, str, str]]:
        """Return stage, summary and duration of the stages that this run has finished, in order."""
        found = [(stage, self._ended[stage]) for stage in self.stages if stage in self._ended]
        return [(stage, one.summary, f"({clock(one.seconds)})") for stage, one in found if one.tally is not None]

    def draw(self, view: View) -> list[Text]:
        """Draw at most `view.height` lines, those of parts counted. Finished stages, and those ahead, share a line
        where there is no room for all."""
        full = len(self.stages) + 2 + bool(view.budget) + PARTS <= view.height
        lines = [HEADER]
        for state, group in groupby(self.stages, lambda stage: self._state(stage, view)):
            stages = list(group)
            if full or state == "at work" or len(stages) == 1:
                lines += [self._line(stage, state, view) for stage in stages]
            else:
                lines.append(self._share_line(stages, state))
        totals = self._totals(view)
        room = max(view.height - len(totals) - view.parts, 1)
        if len(lines) > room:
            lines = lines[1:][-room:]
        widths = fit(max(map(cell_len, self.stages)), view.width)
        return [draw_line(line, widths) for line in lines] + totals

    def _state(self, stage: str, view: View) -> str:
        return "at work" if stage in view.tallies else "finished" if stage in self._ended else "ahead"

    def _line(self, stage: str, state: str, view: View) -> Line:
        if state == "finished":
            return self._finished_line(stage, view)
        if state == "ahead":
            foreseen = self._foreseen.get(stage)
            return Line("·", stage, "dim", cells={"rows": f"~{brief(foreseen)}"} if foreseen is not None else {})
        return self._working_line(view.tallies[stage], view)

    def _finished_line(self, stage: str, view: View) -> Line:
        ended, rows = self._ended[stage], self._rows.get(stage)
        cells = {"time": brief_clock(ended.seconds) if ended.tally else "earlier", "cached": _cached(stage, view)}
        if rows is None:
            return Line("✓", stage, mark_style="green", cells=cells, text=ended.summary)
        entered, kept = rows
        share = _percent(kept, entered) if kept <= entered else ""  # of rows that are several answers to each
        cells |= {"rows": brief(entered), "kept": f"{brief(kept)} {share}"}
        if ended.tally is not None:
            cells["drops"] = _reasons(ended.tally)
        return Line("✓", stage, mark_style="green", cells=cells)

    def _working_line(self, tally: Tally, view: View) -> Line:
        left, note = view.left.get(tally.name), view.notes.get(tally.name, "")
        total = brief(tally.total) if tally.total is not None else ""
        count = f"{brief(tally.through)}/{total}" if total else brief(tally.through) if tally.through else ""
        cells = {
            "rows": count,
            "time": brief_clock(tally.seconds()) if left is None else f"{brief_clock(left)} left",
            "cached": _cached(tally.name, view),
            "tok/s": self._token_rate(tally.name, view),
            "drops": _reasons(tally),
        }
        if note and not tally.facts:
            del cells["time"]  # the note needs the room
        if tally.done:
            rate = tally.done / max(tally.seconds(), 1e-6)
            cells["rate"] = f"{brief(rate)}/s" if rate >= 100 else f"{rate:.1f}/s"
        if rows := tally.kept + tally.dropped.total():
            # Of a stage that goes on, the rows that earlier runs kept are not counted here.
            share = _percent(tally.kept, rows)
            cells["kept"] = share if tally.skipped else f"{brief(tally.kept)} {share}"
        share = min(1.0, tally.through / tally.total) if tally.total else 0.0
        return Line("▸", tally.name, "bold", "cyan", share, cells, note, "rate")

    @staticmethod
    def _share_line(stages: Sequence[str], state: str) -> Line:
        mark, style = ("✓", "green") if state == "finished" else ("·", "dim")
        name = f"{len(stages)} {state}"
        return Line(mark, name, "dim", style, text=", ".join(stages))

    def _token_rate(self, stage: str, view: View) -> str:
        """Tokens per second of the answers that came in the last half minute."""
        if stage not in view.asked:
            return ""
        now, written = monotonic(), view.asked[stage].completion_tokens
        marks = self._written.setdefault(stage, deque([(now, written)]))
        if now - marks[-1][0] >= 1:
            marks.append((now, written))
        while len(marks) > 2 and now - marks[1][0] > TOKEN_SECONDS:
            marks.popleft()
        since, before = marks[0]
        return brief((written - before) / (now - since)) if now - since >= 1 else ""

    def _totals(self, view: View) -> list[Text]:
        """The place in the journey, the time, what the model was asked; a budget has a line for itself."""
        at_work = [number for number, stage in enumerate(self.stages, 1) if stage in view.tallies]
        parts = []
        if at_work:
            several = f"s {at_work[0]}–{at_work[-1]}" if len(at_work) > 1 else f" {at_work[0]}"
            parts.append(f"stage{several} of {len(self.stages)}")
        parts.append(f"{clock(monotonic() - view.began)} so far")
        left = [view.left.get(self.stages[number - 1]) for number in at_work]
        known = [one for one in left if one is not None]
        if known and len(known) == len(left):
            behind = at_work[-1] < len(self.stages)
            parts.append(f"{'over ' * behind}{clock(max(known))} left")
        asked = list(view.asked.values())
        if tokens := sum(one.prompt_tokens + one.completion_tokens for one in asked):
            parts.append(f"{brief(tokens)} tokens asked")
        if told := sum(one.told_tokens for one in asked):
            parts.append(f"{_percent(sum(one.cached_tokens for one in asked), told)} cached")
        while len(parts) > 1 and cell_len(", ".join(parts)) > view.width:
            parts.pop()
        lines = [", ".join(parts), *filter(None, [view.budget])]
        return [Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in lines]


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _cached(stage: str, view: View) -> str:
    asked = view.asked.get(stage)
    return _percent(asked.cached_tokens, asked.told_tokens) if asked is not None else ""


def _reasons(tally: Tally) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in tally.dropped.most_common(MOST_REASONS))
