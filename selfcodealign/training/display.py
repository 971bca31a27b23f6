"""What a person sees while a model is trained: the proof in colour and a live bar, or plain lines in a log."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from selfcodealign.progress.pace import Pace, clock
from selfcodealign.training.events import Event, Note, Proof, Step

_LOSS_STYLE = "black on green3"


class TrainDisplay:
    """Call it with each event of a training; on stderr by default."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._pace = Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.console.print(Text(event.text), soft_wrap=True)
        elif isinstance(event, Proof):
            self._show_proof(event)
        elif self.console.is_terminal:
            self._move_bar(event)
        else:
            self._write_line(event)

    def _show_proof(self, proof: Proof) -> None:
        if self.console.is_terminal:
            legend = Text.assemble("loss lies on ", ("green text", _LOSS_STYLE), " only, the end token included")
        else:
            legend = Text("loss lies on text between » and « only, the end token included")
        self.console.print(legend)
        for number, pieces in zip(proof.numbers, proof.rows, strict=True):
            text = Text()
            for piece in pieces:
                if not piece.loss:
                    text.append(piece.text)
                elif self.console.is_terminal:
                    text.append(piece.text, _LOSS_STYLE)
                else:
                    text.append(f"»{piece.text}«")
            counts = [sum(piece.tokens for piece in pieces if piece.loss is loss) for loss in (True, False)]
            title = f"row {number}: {counts[0]} tokens with loss, {counts[1]} without"
            self.console.print(Panel(text, title=title, title_align="left"))

    def _move_bar(self, step: Step) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("[bold]training"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[facts]}"),
                console=self.console,
            )
            self._bar.start()
            self._bar.add_task("", total=step.steps, facts="")
        self._bar.update(self._bar.task_ids[0], completed=step.step, facts=_describe(step))

    def _write_line(self, step: Step) -> None:
        if self._pace.is_due() or step.step in (1, step.steps):
            self.console.print(f"training: step {step.step}/{step.steps}, {_describe(step)}", soft_wrap=True)


def _describe(step: Step) -> str:
    rate = f"{step.tokens_per_second:,.0f} tokens/s"
    return f"epoch {step.epoch:.2f}, loss {step.loss:.4f}, {rate}, {clock(step.seconds_left)} left"
