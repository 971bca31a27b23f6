"""Train on several devices: accelerate starts one process for each; their events come back through a pipe.

Starting the processes by hand, with the same configuration files, works as well:

    accelerate launch --config_file fsdp2.yaml --num_processes 8 -m selfcodealign train DATASET --model M --out OUT
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from selfcodealign import errors
from selfcodealign.errors import TrainingError
from selfcodealign.installation import install_packages
from selfcodealign.settings import TrainSettings
from selfcodealign.training.batching import share_rows
from selfcodealign.training.events import Event, Loading, Note, OnProgress, Proof, Step, TrainResult
from selfcodealign.training.masking import Piece
from selfcodealign.training.output import IDENTITY, STOP, find_result

#: Prefix of event lines in the workers' output; other lines come from libraries.
_MARK = "\x1e"

LOG = "processes.log"


def launch(
    dataset: str | Path, model: str, out: Path, settings: TrainSettings, on_progress: OnProgress, *, fresh: bool
) -> TrainResult:
    """Train with `settings.processes` processes on this machine. Raises the errors of the processes."""
    share_rows(settings.batch, settings.processes)
    if settings.parallel == "zero3" and find_spec("deepspeed") is None:
        raise TrainingError(f"train.parallel = zero3 needs DeepSpeed: {install_packages('deepspeed')}, or use fsdp2")
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    if on_cpu and settings.parallel != "ddp":
        # accelerate does not shard on CPUs: it would silently train a whole model in each process.
        raise TrainingError(f"train.parallel = {settings.parallel} needs GPUs: use ddp here")
    if out.exists() and any(out.iterdir()) and not (out / IDENTITY).exists():
        raise TrainingError(f"{out} holds files that are no training: choose an empty or new folder")
    log = out.with_name(out.name + "." + LOG)
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = {
        "dataset": str(dataset),
        "model": model,
        "out": str(out),
        "settings": settings.model_dump(),
        "fresh": fresh,
    }
    command, environment = _command(settings, on_cpu)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "-m", "selfcodealign.training", json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops all workers after the same step
            env=environment,
        )
        on_progress(Loading(f"starting {settings.processes} processes"))
        failure = _follow(process, out, on_progress)
    if failure is not None:
        raise failure
    result = find_result(out)
    if process.returncode or result is None:
        raise TrainingError(f"a training process failed (exit code {process.returncode}); its output is in {log}")
    log.unlink()
    return result


def _command(settings: TrainSettings, on_cpu: bool) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts the processes, and its environment."""
    file = resources.files("selfcodealign") / "accelerate" / f"{'cpu' if on_cpu else settings.parallel}.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    command += ["--num_processes", str(settings.processes), "--main_process_port", "0"]
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
    if on_cpu:
        environment["ACCELERATE_USE_CPU"] = "true"
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // settings.processes)))
    return command, environment


def _follow(process: subprocess.Popen[str], out: Path, on_progress: OnProgress) -> BaseException | None:
    """Forward events until the workers end; Ctrl-C asks them to stop, a second Ctrl-C kills them."""
    failure: BaseException | None = None
    assert process.stdout is not None
    asked = False
    while True:
        try:
            for line in process.stdout:
                if line.startswith(_MARK):
                    event = read_event(line[1:])
                    if isinstance(event, BaseException):
                        failure = event
                    else:
                        on_progress(event)
            process.wait()
            return failure
        except KeyboardInterrupt:
            if asked:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            asked = True
            out.mkdir(parents=True, exist_ok=True)
            (out / STOP).touch()
            on_progress(Note("stopping after this step; Ctrl-C again ends at once"))


def write_event(event: Event | BaseException) -> str:
    """Write an event as one line for `read_event`."""
    if isinstance(event, BaseException):
        told: dict[str, Any] = {"text": str(event)}
    else:
        told = dataclasses.asdict(event)
    return json.dumps({"kind": type(event).__name__} | told)


def read_event(line: str) -> Event | BaseException:
    told = json.loads(line)
    kind = told.pop("kind")
    if kind == "Note":
        return Note(**told)
    if kind == "Loading":
        return Loading(**told)
    if kind == "Step":
        return Step(**told)
    if kind == "Proof":
        return Proof(told["numbers"], [[Piece(**piece) for piece in row] for row in told["rows"]])
    if kind == "KeyboardInterrupt":
        return KeyboardInterrupt(told["text"])
    return getattr(errors, kind, TrainingError)(told["text"])


def work(arguments: dict[str, Any]) -> None:
    """Run one worker; rank 0 reports events to the launching process."""
    from selfcodealign.training.run import train_here

    def tell(event: Event | BaseException) -> None:
        print(_MARK + write_event(event), flush=True)

    settings = TrainSettings.model_validate(arguments["settings"])
    try:
        dataset, model, out = arguments["dataset"], arguments["model"], Path(arguments["out"])
        train_here(dataset, model, out, settings, tell, fresh=arguments["fresh"])
    except (errors.UserError, KeyboardInterrupt) as error:
        if int(os.environ.get("RANK", "0")) == 0:
            tell(error)
        raise SystemExit(2) from None  # so that the launcher ends the other processes, which wait for this one
