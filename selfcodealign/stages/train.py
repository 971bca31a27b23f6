"""Data set → tuned model: the recipe's model, fine-tuned on the examples of this run, in RUN/tuned."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import UserError
from selfcodealign.installation import install_extra, install_packages
from selfcodealign.rows import Example, digest
from selfcodealign.settings import DpoSettings, GrpoSettings, TrainSettings
from selfcodealign.stages import Last
from selfcodealign.stages.context import Context

if TYPE_CHECKING:
    from selfcodealign.training import TrainResult

#: What training imports.
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")


async def tune(context: Context) -> str:
    """Fine-tune on RUN/dataset; return the result in one line. Raises `TrainingError`, `ModelError`, `MissingExtra`."""
    from selfcodealign.training import train
    from selfcodealign.training.display import TrainDisplay

    run, out, tell = context.folder.path, context.folder.path / "tuned", TrainDisplay(context.progress)
    result = await in_run(context, partial(train, run, _base(context), out, context.recipe.train, tell), out)
    return f"{result.steps} steps, loss {result.first_loss:.4f} → {result.last_loss:.4f}"


async def in_run(context: Context, work: Callable[[], TrainResult], out: Path) -> TrainResult:
    """Train into `out` as a stage of a run. Ctrl-C ends the training after its step."""
    await context.close_models()  # training needs its device
    return await train_stoppable(work, out)


async def train_stoppable(work: Callable[[], TrainResult], out: Path) -> TrainResult:
    """Train into `out` so that Ctrl-C stops the training after its step, with a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        return await stop_with_cancellation(work, out)
    with _interrupts_at_once():
        return work()


async def stop_with_cancellation(work: Callable[[], TrainResult], out: Path) -> TrainResult:
    """Train in another thread, because Ctrl-C comes here as a cancellation; it stops the training after its step."""
    from selfcodealign.training.output import IDENTITY, STOP

    # No task: it would let the KeyboardInterrupt of a training that has been stopped out of the event loop.
    training = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(training)
    except asyncio.CancelledError:
        while not training.done():
            if (out / IDENTITY).exists():
                (out / STOP).touch()
            await asyncio.wait([training], timeout=0.5)
        with suppress(KeyboardInterrupt):  # how a training ends that has been stopped
            training.result()
        raise


@contextmanager
def _interrupts_at_once() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt where it arrives; asyncio would keep it until the training ends."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _base(context: Context) -> str:
    return context.recipe.train.model or context.recipe.model.name


_STOP_BEFORE = "or make the data set alone with --until dataset"


def _find_missing() -> list[str]:
    return [name for name in PACKAGES if find_spec(name) is None]


def check_training_packages(settings: TrainSettings | DpoSettings | GrpoSettings) -> Iterator[str]:
    """Say which packages are missing that a training with these settings needs."""
    section = settings.section
    if missing := _find_missing():
        yield f"training needs {', '.join(missing)}: {install_extra('train')}, {_STOP_BEFORE}"
    if settings.weights == "qlora" and find_spec("bitsandbytes") is None:
        yield f"{section}.weights = qlora needs bitsandbytes: {install_packages('bitsandbytes')}"
    for name in settings.report_to:
        if find_spec(name) is None:
            yield f"{section}.report_to names {name}, which is not installed: {install_packages(name)}"


def _check(context: Context) -> Iterable[str]:
    settings = context.recipe.train
    yield from check_training_packages(settings)
    yield from _check_mix(settings)
    if context.recipe.model.urls and settings.model is None:
        yield (
            f"training needs the weights of {context.recipe.model.name or 'the model'}, which servers do not give: "
            f"name them with train.model, a folder or a hub name, {_STOP_BEFORE}"
        )
    elif not _find_missing():
        from selfcodealign.models.opening import check_model
        from selfcodealign.models.revisions import find_source

        name = _base(context)
        revision = context.recipe.model.revision if settings.model is None else None
        if what := find_source(name, revision).untunable:
            yield (
                f"{name} is {what}, which training cannot change: name a checkpoint's folder (save_pretrained) or a "
                f"hub name with train.model, {_STOP_BEFORE}"
            )
        check_model(
            context.recipe.model.model_copy(
                update={"name": name, "revision": revision, "urls": [], "serve": None, "api": "completions"}
            )
        )


def _check_mix(settings: TrainSettings) -> Iterable[str]:
    """The data sets are read before any work: what is wrong with one would else be known when the rows are made."""
    if not settings.mix:
        return
    from selfcodealign.training.conversations import join, load_mix

    try:
        join(load_mix(settings.mix, settings.seed))
    except UserError as error:
        yield str(error)


def _decided_by(context: Context) -> dict[str, Any]:
    return {"model.name": _base(context), "model.revision": context.recipe.model.revision, **context.deciding("train")}


def _made_from(context: Context) -> dict[str, Any]:
    after = context.places["train"].after
    assert after is not None
    ids = sorted(context.folder.open(after, Example).shards.column(Example.id_field))
    weights = context.folder.facts().get("model", {}).get("revision")
    facts = {"the examples": f"{len(ids)} ({digest(*ids)})", "the base model's weights": weights}
    settings = context.recipe.train
    if settings.mix:
        from selfcodealign.training.conversations import load_mix

        mixed = load_mix(settings.mix, settings.seed)
        facts["the mixed data sets"] = ", ".join(f"{one.source} ({len(one.rows)} rows, {one.digest})" for one in mixed)
    return facts


TRAIN = Last(
    name="train",
    takes=Example,
    settings=TrainSettings,
    requires=("dataset",),
    output="tuned",
    check=_check,
    decided_by=_decided_by,
    made_from=_made_from,
    is_complete=lambda context: (context.folder.path / "tuned" / "train_report.json").is_file(),
    run=tune,
)
