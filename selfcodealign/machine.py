"""What this machine offers a run: for `selfcodealign doctor` and for bug reports."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: The distributions that each extra installs.
EXTRAS = {
    "local": ("torch", "transformers"),
    "hub": ("datasets", "huggingface_hub"),
    "train": ("trl", "peft", "accelerate"),
    "vllm": ("vllm",),
}


@dataclass(frozen=True)
class Fact:
    """One line of the report; `good` is None for a neutral fact."""

    subject: str
    detail: str
    good: bool | None = None


def look_at_machine(folder: Path) -> list[Fact]:
    """Return Python, processors, memory, free disk at `folder`, and the installed extras."""
    cores = len(os.sched_getaffinity(0))
    free = shutil.disk_usage(folder).free / 2**30
    facts = [
        Fact("selfcodealign", version("selfcodealign")),
        Fact("python", f"{platform.python_version()} ({sys.executable})"),
        Fact("system", f"{platform.system()} {platform.release()} {platform.machine()}", sys.platform == "linux"),
        Fact("cores", str(cores)),
        Fact("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"),
        Fact("free disk", f"{free:.1f} GiB at {folder.resolve()}", free > 1),
    ]
    for extra, names in EXTRAS.items():
        found = {name: _version(name) for name in names}
        missing = [name for name, one in found.items() if one is None]
        have = ", ".join(f"{name} {one}" for name, one in found.items() if one)
        need = f"pip install 'selfcodealign[{extra}]' for {', '.join(missing)}" if missing else ""
        facts.append(
            Fact(f"extra {extra}", "; ".join(part for part in (have, need) if part), None if missing else True)
        )
    return facts


def look_at_devices() -> list[Fact]:
    """List the devices of torch; slow, because torch is imported."""
    if _version("torch") is None:
        return [Fact("devices", "unknown without torch")]
    import torch

    facts = [Fact("device cpu", f"{torch.get_num_threads()} threads")]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        facts.append(Fact(f"device cuda:{number}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    return facts


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
