"""Show the events of a training on a `Progress`; the loss mask is in colour on a terminal, marked in a log."""

from __future__ import annotations

from contextlib import ExitStack

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.text import Text

from selfcodealign.progress import Progress
from selfcodealign.training.events import Event, Loading, Note, Proof, Step

#: The name of the task.
TASK = "training"

_LOSS_STYLE = "black on green3"


class TrainDisplay:
    """Shows the events of one training; call it with each event."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._step = 0
        self._waiting = ExitStack()

    def __call__(self, event: Event) -> None:
        self._waiting.close()
        if isinstance(event, Loading):
            self._waiting.enter_context(self.progress.waiting(event.text))
        elif isinstance(event, Note):
            self.progress.say(event.text)
        elif isinstance(event, Proof):
            self.progress.show(ProofPanels(event))
        else:
            self._tell_step(event)

    def _tell_step(self, step: Step) -> None:
        figures = "".join(f"{name} {value:.4g}, " for name, value in step.figures.items())
        facts = f"epoch {step.epoch:.2f}, loss {step.loss:.4f}, {figures}{step.tokens_per_second:,.0f} tokens/s"
        if not self._step:
            # A resumed training begins in the middle. The first step is left out of the rate, because loading and
            # compiling would distort it.
            self.progress.start(TASK, step.steps, "steps")
            self.progress.skip(TASK, step.step)
            self._step = step.step
        self.progress.advance(TASK, step.step - self._step, facts=facts)
        self._step = step.step
        if step.step == step.steps:
            self.progress.finish(TASK, f"{step.steps} steps, {facts}")


class ProofPanels:
    """A panel for each row of the proof, with its loss tokens marked."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.is_terminal:
            yield Text.assemble(f"{self.proof.says} ", ("green text", _LOSS_STYLE), " only, the end token included")
        else:
            yield Text(f"{self.proof.says} text between » and « only, the end token included")
        for place, pieces in enumerate(self.proof.rows):
            text = Text()
            for piece in pieces:
                if not piece.loss:
                    text.append(piece.text)
                elif options.is_terminal:
                    text.append(piece.text, _LOSS_STYLE)
                else:
                    text.append(f"»{piece.text}«")
            counts = [sum(piece.tokens for piece in pieces if piece.loss is loss) for loss in (True, False)]
            title = f"{self.proof.name(place)}: {counts[0]} tokens {self.proof.counted}, {counts[1]} without"
            yield Panel(text, title=title, title_align="left")
