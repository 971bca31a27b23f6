"""Draw progress on stderr: a live display on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.text import Text

from selfcodealign.addresses import hide_secrets
from selfcodealign.progress import Asked
from selfcodealign.progress.bars import draw_bars, shorten
from selfcodealign.progress.board import Board, View
from selfcodealign.progress.capture import Capture
from selfcodealign.progress.drawer import Drawer
from selfcodealign.progress.lines import Lines, Quiet
from selfcodealign.progress.log import SAID, is_quiet, warnings_through
from selfcodealign.progress.tally import Tally, clock


class Live(Drawer):
    """A line for each stage of the journey, and a bar for each other task in progress, below all messages.

    The lines of a journey stay until it has ended; then one line per finished stage, with its summary, takes their
    place. `capture` holds what other code writes meanwhile; None: nothing is captured.
    """

    def __init__(self, console: Console, capture: Capture | None = None) -> None:
        super().__init__(console)
        self._capture = capture
        self._board: Board | None = None
        self._screen = Screen(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=4,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.journey([])
        with self._lock:
            self._tallies.clear()  # bars of work that failed or was stopped would stay under what is said about it
        self._screen.stop()

    def journey(self, stages: Sequence[str]) -> None:
        super().journey(stages)
        with self._lock:
            before, self._board = self._board, Board(stages) if stages else None
            for stage in before.stages if before else ():
                self._tallies.pop(stage, None)
        if before and (ended := before.summaries()):
            self._screen.refresh()  # what is printed comes above the last frame, which is to be empty by then
            self.warn("\n".join(self._end_line(*one) for one in ended))

    def rest(self, stage: str) -> None:
        with self._lock:
            if self._board is not None:
                self._board.rest(stage)

    def foresee(self, stage: str, total: int) -> None:
        with self._lock:
            if self._board is not None:
                self._board.foresee(stage, total)

    def count_rows(self, stage: str, entered: int, kept: int) -> None:
        with self._lock:
            if self._board is not None:
                self._board.count_rows(stage, entered, kept)

    def finish(self, task: str, summary: str = "") -> None:
        with self._lock:
            if self._board is not None and task in self._board.stages:
                self._board.finish(self._tallies[task], hide_secrets(summary or "done"))
        super().finish(task, summary)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.start(what, None)
        self._screen.refresh()  # now: an import may keep the thread that draws from running
        try:
            yield
        finally:
            with self._lock:
                self._tallies.pop(what, None)

    def overhear(self, line: str) -> None:
        """Take a line that other code wrote to the terminal: it is not shown, a log file gets it."""
        SAID.debug("%s", line)

    def say(self, text: str) -> None:
        SAID.info("%s", text)
        self.warn(text)

    def warn(self, text: str) -> None:
        """Show a line that the log has already."""
        self.console.print(Text(hide_secrets(text)), highlight=False)

    def _say_end(self, task: str, summary: str, seconds: str) -> None:
        if not self._journey:
            SAID.info("%s: %s %s", task, summary, seconds)
            self.warn(self._end_line(task, summary, seconds))
        elif task in self._journey:
            SAID.info("%s: %s %s", task, summary, seconds)
        # else a part of a stage, whose line follows

    def _end_line(self, task: str, summary: str, seconds: str) -> str:
        return f"{shorten(f'{task}: {summary}', self.console.width - len(seconds) - 1)} {seconds}"

    def draw(self) -> RenderableType:
        """Draw the stages of the journey, then the tasks that are none."""
        for line in self._capture.read() if self._capture else ():
            self.overhear(line)
        tokens, activity, asked = self.tokens()[1], self.activity(), dict(self.asked())
        with self._lock:
            stages = self._board.stages if self._board is not None else ()
            told = {name: self._describe(one, tokens, activity) for name, one in self._tallies.items()}
            others = [one for name, one in self._tallies.items() if name not in stages]
            texts = [(one.name, one.count(), clock(one.seconds()), self._left(one), told[one.name]) for one in others]
            bars = [(one.total, one.through) for one in others]
            lines: list[Text] = []
            if self._board is not None:
                at_work = {name: one for name, one in self._tallies.items() if name in stages}
                lines = self._board.draw(self._view(at_work, told, asked, len(others)))
        drawn: list[RenderableType] = list(lines)
        if texts:
            drawn.append(draw_bars(texts, bars, self.console.width))
        return Group(*drawn)

    def _view(self, at_work: dict[str, Tally], told: dict[str, str], asked: dict[str, Asked], others: int) -> View:
        """What the journey's lines show; what the model does is told of a stage until its first row has ended."""
        width, height = self.console.size
        return View(
            tallies=at_work,
            notes={name: told[name] for name, one in at_work.items() if one.facts or not one.done},
            left={name: self._seconds_left(one) for name, one in at_work.items()},
            asked=asked,
            budget=self.budget(),
            began=self._began,
            width=width,
            height=height - 1,
            parts=others,
        )


@contextmanager
def open_progress() -> Iterator[Live | Lines]:
    """Within the context: a live display where stderr is a terminal (a notebook is none), else lines; none with -q."""
    console = Console(stderr=True, force_jupyter=False)
    if is_quiet() or not console.is_terminal:
        with Quiet(console) if is_quiet() else Lines(console) as lines:
            yield lines
        return
    with Capture() as capture, Live(capture.screen, capture) as live, warnings_through(live.warn):
        yield live
