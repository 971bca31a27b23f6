"""How this package was installed, and so which command adds an optional dependency to it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "selfcodealign"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def install_packages(*packages: str) -> str:
    """Return the command that installs packages into the running environment, whether that is activated or not."""
    return " ".join([_installer(), *map(shlex.quote, packages)])


def install_extra(extra: str) -> str:
    """Return the command that adds an extra of this package, from where the package itself came.

    Where the extra would bring torch to a machine without an NVIDIA GPU, the command for the build without CUDA, a
    tenth of the size, is named as well.
    """
    command = install_packages(*_requirement(extra))
    torch = _needed_torch(extra)
    if torch is None or find_spec("torch") is not None or os.path.exists("/dev/nvidiactl"):
        return command
    return f"{command} (without a GPU, first {install_packages(torch, '--index-url', CPU_WHEELS)})"


def _installer() -> str:
    python = sys.executable
    if not find_spec("pip") and shutil.which("uv"):
        return f"uv pip install --python {shlex.quote(_short(python))}"
    if os.path.dirname(shutil.which("pip") or "") == os.path.dirname(python):  # the environment is activated
        return "pip install"
    return f"{shlex.quote(_short(python))} -m pip install"


def _requirement(extra: str) -> list[str]:
    """What `pip install` has to be told: a checkout, a wheel, a repository, or a name in an index."""
    installed = _distribution()
    if installed is None:  # imported from a checkout that is not installed
        return ["-e", f"{_short(str(Path(__file__).parents[1]))}[{extra}]"]
    origin: dict[str, Any] | None = json.loads(installed.read_text("direct_url.json") or "null")
    if origin is None:
        return [f"{NAME}[{extra}]"]
    if vcs := origin.get("vcs_info"):
        return [f"{NAME}[{extra}] @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"]
    if not origin["url"].startswith("file://"):
        return [f"{NAME}[{extra}] @ {origin['url']}"]
    path = unquote(urlsplit(origin["url"]).path)
    if not os.path.exists(path):
        return [f"{NAME}[{extra}]"]  # pip takes the installed one and adds what the extra names
    editable = ["-e"] if origin.get("dir_info", {}).get("editable") else []
    return [*editable, f"{_short(path)}[{extra}]"]


def _needed_torch(extra: str) -> str | None:
    """The pinned torch that an extra, or an extra that it includes, requires."""
    installed = _distribution()
    required = (installed.requires if installed else None) or []
    mine = [line.partition(";")[0].strip() for line in required if re.search(rf"""extra == ['"]{extra}['"]""", line)]
    for one in mine:
        if re.match(r"torch\b", one):
            return one
        if included := re.match(rf"{NAME}\[(.+?)\]", one):
            return next(filter(None, map(_needed_torch, re.split(r"\s*,\s*", included[1]))), None)
    return None


def _distribution() -> Distribution | None:
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import, and seldom needed

    try:
        return distribution(NAME)
    except PackageNotFoundError:
        return None


def _short(path: str) -> str:
    """A path relative to the current folder, if it is that folder or below it; always with a slash or a dot."""
    relative = os.path.relpath(path)
    if relative == "." or relative.startswith(".." + os.sep) or relative == "..":
        return "." if relative == "." else path
    return os.path.join(".", relative)
