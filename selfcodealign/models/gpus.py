"""Which GPUs this process may use, found without importing torch, and how they are shared out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfcodealign.errors import ModelError

_NVIDIA, _ROCM = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"
_ASK_SECONDS = 30.0
#: Options of vLLM whose product is the number of GPUs that one server takes.
_SPREADING = {
    "--tensor-parallel-size": "-tp",
    "--pipeline-parallel-size": "-pp",
    "--data-parallel-size": "-dp",
}


@dataclass(frozen=True)
class Gpus:
    """GPUs by the names that the environment variable `variable` takes."""

    variable: str
    names: tuple[str, ...]

    def share(self, replicas: int, size: int) -> list[dict[str, str]]:
        """The environment of each replica: `size` GPUs each. Where there are no GPUs, or one replica has them all to
        itself, nothing is set."""
        if replicas == 1 or not self.names:
            return [{}] * replicas
        shares = (self.names[start : start + size] for start in range(0, replicas * size, size))
        return [{self.variable: ",".join(share)} for share in shares]


def find_gpus() -> Gpus:
    """The visible GPUs: those that the environment names, else all that the driver of NVIDIA or AMD tells."""
    for variable in (_NVIDIA, _ROCM):
        if variable in os.environ:
            return Gpus(variable, _read_names(os.environ[variable]))
    if count := _count_nvidia():
        return Gpus(_NVIDIA, tuple(map(str, range(count))))
    return Gpus(_ROCM, tuple(map(str, range(_count_amd(Path("/sys/class/kfd/kfd/topology/nodes"))))))


def count_replicas(asked: int | None, serve_args: Sequence[str], gpus: Gpus) -> tuple[int, int]:
    """The number of servers, and of GPUs that each takes. Raises `ModelError` where the GPUs do not suffice.

    >>> count_replicas(None, ["-tp", "2"], Gpus("CUDA_VISIBLE_DEVICES", ("0", "1", "2", "3")))
    (2, 2)
    """
    size = 1
    for option in _SPREADING:
        size *= _read_option(option, serve_args)
    there = len(gpus.names)
    if asked is None:
        return max(1, there // size), size
    if there and asked > 1 and asked * size > there:
        each = f" ({size} each, by model.serve_args)" if size > 1 else ""
        raise ModelError(
            f"model.replicas = {asked} needs {asked * size} GPUs{each}, and {there} {'is' if there == 1 else 'are'} "
            "visible: lower model.replicas, or leave it out"
        )
    return asked, size


def _read_names(listed: str) -> tuple[str, ...]:
    """The names up to the first that is none: CUDA ignores what follows.

    >>> _read_names("0, GPU-8932"), _read_names("1,-1,0"), _read_names("")
    (('0', 'GPU-8932'), ('1',), ())
    """
    names: list[str] = []
    for name in map(str.strip, listed.split(",")):
        if not name or name.startswith("-"):
            break
        names.append(name)
    return tuple(names)


def _count_nvidia() -> int:
    if program := shutil.which("nvidia-smi"):
        try:
            told = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return 0  # a driver that does not answer starts no vLLM either, which says why
        return sum(line.startswith("GPU ") for line in told.stdout.splitlines())
    return sum(path.name[6:].isdecimal() for path in Path("/dev").glob("nvidia[0-9]*"))


def _count_amd(nodes: Path) -> int:
    """Nodes of the topology that are GPUs: processors have the id 0."""
    return sum(path.read_text().strip() not in ("", "0") for path in nodes.glob("*/gpu_id"))


def _read_option(option: str, arguments: Sequence[str]) -> int:
    """The value of an option of vLLM, the last one given; 1 without it."""
    value = "1"
    for place, argument in enumerate(arguments):
        flag, equals, told = argument.partition("=")
        if flag.replace("_", "-") in (option, _SPREADING[option]):
            value = told if equals else "".join(arguments[place + 1 : place + 2])
    if not value.isdecimal() or int(value) < 1:
        raise ModelError(f'model.serve_args: {option} takes a number of at least 1, not "{value}"')
    return int(value)
