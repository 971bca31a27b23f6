"""The funnel as a picture: rows flow down through the stages, and what a stage drops branches off to the right.

Within a stage thickness is in proportion: the band has its full width at the entrance of each stage, whatever the
number, or a run that keeps one row of a thousand would end in a line that nobody sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from selfcodealign.pages.charts import WIDTH, picture
from selfcodealign.pages.code import make_visible
from selfcodealign.pages.letters import fit_text, measure_text
from selfcodealign.pages.template import show_percent
from selfcodealign.report.funnel import OF_EARLIER, StageAccount

#: The band's place, its width, where branches end, and where texts begin.
_X, _BAND, _BRANCH, _TEXT = 2, 120, 148, 157
_LINE = 17
#: The height in which a band comes back to its full width.
_WIDENING = 14
#: The room of a text beside the band, in units; in bold letters are wider.
_ROOM, _BOLD = WIDTH - _TEXT - 4, 1.1
#: Reasons that are told beside a branch; the table below has all of them.
_REASONS = 6
#: Stages beyond which the picture says how many follow.
_MOST_STAGES = 40


@dataclass(frozen=True)
class Split:
    """What enters, and what is dropped of it and why, in one unit; `made`: the stage made it of what entered."""

    unit: str
    entered: int
    dropped: Mapping[str, int]
    made: bool = False

    @property
    def share(self) -> float:
        """The share that goes on; with nothing dropped all of it, whatever the counts of an unfinished stage say."""
        lost = sum(self.dropped.values())
        return max(0.0, 1 - lost / max(self.entered, lost)) if lost else 1.0


def splits_of(account: StageAccount) -> list[Split]:
    """A stage drops what entered, what it made of it, or first some of the one and then some of the other."""
    found = []
    if account.whole or account.looked_at is None:
        found.append(Split(account.came, account.books.entered, account.whole))
    if account.looked_at is not None:
        found.append(Split(account.made, account.looked_at, account.in_part, made=True))
    return found


def draw_flow(accounts: Sequence[StageAccount], number: int = 0) -> Markup:
    """Draw the stages from top to bottom; nothing for a run that has none. Pictures of one page differ in `number`."""
    if not accounts:
        return Markup("")
    hatch = f"hatch-{number}"
    flow = _Flow(hatch)
    for account in accounts[:_MOST_STAGES]:
        flow.stage(account)
    if further := accounts[_MOST_STAGES:]:
        flow.say([("name", f"{len(further):,} further stages")])
    return picture([_PATTERN.format(hatch), *flow.parts], flow.y + 6, tell_flow(accounts[:_MOST_STAGES]), kind="flow")


def tell_flow(accounts: Sequence[StageAccount]) -> str:
    """The picture in words; the table beside it has the reasons."""
    stages = "; ".join(
        f"{_cut(one.name, 40)} {one.books.entered:,} {_cut(one.came, 40)} in, "
        f"{one.books.kept:,} {_cut(one.stayed, 40)} kept"
        for one in accounts
    )
    return f"Flow of rows. {stages}. The table has the reasons."


#: Dropped rows are hatched, so that colour is not all that tells them from kept ones.
_PATTERN = Markup(
    '<defs><pattern id="{}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="lost" width="6" height="6"/><path class="stripe" d="M0 0V6"/></pattern></defs>'
)


class _Flow:
    """Adds parts from top to bottom; `y` is where the next begins."""

    def __init__(self, hatch: str) -> None:
        self._hatch = hatch
        self.parts: list[Markup] = []
        self.y = 4.0
        #: How wide the band is that comes from above.
        self.width = float(_BAND)

    def stage(self, account: StageAccount) -> None:
        note = f"stopped by {account.stopped}" if account.stopped else "not finished"
        note = note if not account.finished else OF_EARLIER.strip(" ()") if account.earlier else ""
        head = [("name", account.name), *([("", f"({note})")] if note else [])]
        first, *second = splits_of(account)
        last = second[-1] if second else first
        tail = [("name", f"{_count(account.books.kept, account.stayed)} kept")]
        if last.dropped:
            tail.append(("", f"{show_percent(last.share)} of the {last.unit}"))
        again = f", {account.again:,} came twice" if account.again else ""
        head.append(("", f"{_count(account.books.entered, account.came)} in{again}"))
        if first.made:
            head.append(("", _tell_made(first)))
        self._block(head, first, [] if second else tail)
        for split in second:
            self._block([("", _tell_made(split))], split, tail)

    def say(self, lines: Iterable[tuple[str, str]]) -> None:
        """Add lines of text beside the band, each with its class."""
        for kind, text in lines:
            cut = fit_text(text, _ROOM / _BOLD if kind == "name" else _ROOM)
            self.y += _LINE
            self.parts.append(
                Markup('<text class="{}" x="{}" y="{:.0f}">{}</text>').format(kind, _TEXT, self.y - 4, cut)
            )

    def _block(self, head: list[tuple[str, str]], split: Split, tail: list[tuple[str, str]]) -> None:
        """The band at full width, its branch with the reasons, and what goes on."""
        top = self.y
        self._widen(top)
        self.say(head)
        self.y = max(self.y, top + _WIDENING) + 5
        self._band(top + _WIDENING, self.y, _BAND)
        self.width = split.share * _BAND
        top = self.y
        if split.dropped:
            thickness = max(_BAND - self.width, 1)
            self.parts.append(_branch(_X + _BAND - thickness, top, thickness, self._hatch))
            self.say([("lost", line) for line in _tell_drops(split)])
            self.y = max(self.y, top + thickness + 4) + 4
        self.say(tail)
        self.y += 6
        self._band(top, self.y, self.width)

    def _band(self, top: float, bottom: float, width: float) -> None:
        """What is kept; the thinnest can be seen, and nothing is not drawn."""
        if width > 0:
            text = '<rect class="kept" x="{}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
            self.parts.append(Markup(text).format(_X, top, max(width, 1), bottom - top + 0.6))

    def _widen(self, top: float) -> None:
        shape = f"M{_X} {top:.1f}H{_X + self.width:.1f}L{_X + _BAND} {top + _WIDENING + 0.5:.1f}H{_X}Z"
        kind = "kept" if self.width >= _BAND else "wider"
        if self.width > 0:
            self.parts.append(Markup('<path class="{}" d="{}"/>').format(kind, shape))


def _branch(left: float, top: float, thickness: float, hatch: str) -> Markup:
    """A band that turns off from `left` to the end of the band, to the right, and ends in an arrow's tip."""
    low, bend = top + thickness, min(thickness, 24.0)
    shape = (
        f"M{left:.1f} {top:.1f}H{_BRANCH - 8}L{_BRANCH} {top + thickness / 2:.1f}L{_BRANCH - 8} {low:.1f}"
        f"H{left + bend:.1f}Q{left:.1f} {low:.1f} {left:.1f} {low - bend:.1f}Z"
    )
    return Markup('<path class="dropped" fill="url(#{})" d="{}"/>').format(hatch, shape)


def _tell_made(split: Split) -> str:
    return f"{_count(split.entered, split.unit)} {'looked at' if split.dropped else 'made'}"


def _tell_drops(split: Split) -> Iterator[str]:
    ranked = sorted(split.dropped.items(), key=lambda one: -one[1])
    yield f"{_count(sum(split.dropped.values()), split.unit)} dropped"
    shown = ranked if len(ranked) <= _REASONS + 1 else ranked[:_REASONS]
    for reason, count in shown:
        number = f" {count:,}"
        yield fit_text(reason, _ROOM - measure_text(number)) + number
    if further := ranked[len(shown) :]:
        yield f"{len(further):,} more reasons {sum(count for _, count in further):,}"


def _count(number: int, unit: str) -> str:
    """A number of things, whose unit is given in the plural."""
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def _cut(text: str, most: int) -> str:
    shown = make_visible(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
