"""The programs that read code without running it: ruff for undefined names, pyrefly or pyright for types.

Each is asked in a folder that holds a batch of files and nothing else, with a configuration that is complete. What a
tool says depends on its version, on the version of Python that the code is for, and on nothing else of the machine:
configurations of the user are not looked for, and installed packages are not seen. What a third-party module exports
is unknown to the tools, so its use is never an error, and a missing module is none either.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from selfcodealign.errors import CheckerError, MissingExtra
from selfcodealign.installation import install_packages

#: The version of Python that checked code is for.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Reason = Literal["undefined_names", "syntax_error", "type_error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a tool found wrong: the reason of a drop, the line (from 1), the tool's rule and its words."""

    reason: Reason
    line: int
    rule: str
    message: str


Findings = Mapping[str, Sequence[Finding]]


class Tool(Protocol):
    """A program that checks the Python files of a folder."""

    def describe(self) -> str:
        """Name and version. Raises `UserError` that names the fix where the program is not installed."""
        ...

    def configure(self, folder: Path) -> list[str]:
        """Write the configuration into a folder, and return the command to run there."""
        ...

    def read(self, output: bytes) -> Findings:
        """What is wrong, by the name of the file. Raises `ValueError` or `LookupError` for anything but a report."""
        ...


class Ruff:
    """Undefined names, and what only looks like Python: `return` outside a function, `break` outside a loop."""

    def describe(self) -> str:
        return _installed("ruff")

    def configure(self, folder: Path) -> list[str]:
        target = "py" + PYTHON.replace(".", "")
        rules = ("--isolated", "--no-cache", "--ignore-noqa", "--select", "F82,F7,E9", "--target-version", target)
        return [*_module("ruff"), "check", *rules, "--exit-zero", "--quiet", "--output-format", "json", "."]

    def read(self, output: bytes) -> Findings:
        found = defaultdict(list)
        for one in json.loads(output):
            rule = one["code"] or "syntax"
            reason: Reason = "undefined_names" if rule.startswith("F82") else "syntax_error"
            place = one["location"] or {"row": 1}
            found[Path(one["filename"]).name].append(Finding(reason, place["row"], rule, one["message"]))
        return found


@dataclass(frozen=True)
class Pyrefly:
    """Types, by the standard library's stubs. Errors inside pyrefly itself are none of the code."""

    possibly_unbound: bool = False

    def describe(self) -> str:
        return _installed("pyrefly")

    def configure(self, folder: Path) -> list[str]:
        (folder / "pyrefly.toml").write_text(
            f"""python-version = "{PYTHON}"
python-platform = "linux"
search-path = []
site-package-path = []
skip-interpreter-query = true
disable-search-path-heuristics = true
use-ignore-files = false
project-includes = ["*.py"]

[errors]
missing-import = false
missing-source = false
missing-source-for-stubs = false
untyped-import = false
internal-error = false
""",
            "utf-8",
        )
        output = ("--output-format", "json", "--summary=none", "--progress-bar=no")
        return [*_module("pyrefly"), "check", "--config", "pyrefly.toml", *output, "--min-severity", "error"]

    def read(self, output: bytes) -> Findings:
        found = defaultdict(list)
        for one in json.loads(output)["errors"]:
            rule, message = one["name"], one["concise_description"]
            if rule == "unbound-name" and "may be" in message and not self.possibly_unbound:
                continue
            found[Path(one["path"]).name].append(Finding("type_error", one["line"], rule, message))
        return found


@dataclass(frozen=True)
class Pyright:
    """Types, as the published curation checks them."""

    possibly_unbound: bool = False

    def describe(self) -> str:
        return _ask_version(tuple(self._command()))

    def configure(self, folder: Path) -> list[str]:
        # An environment without packages: else those of the `python` that is found first would be seen.
        (folder / "no_packages" / "lib" / f"python{PYTHON}" / "site-packages").mkdir(parents=True, exist_ok=True)
        configuration = {
            "include": ["*.py"],
            "pythonVersion": PYTHON,
            "pythonPlatform": "Linux",
            "venvPath": ".",
            "venv": "no_packages",
            "typeCheckingMode": "standard",
            "reportMissingImports": False,
            "reportMissingModuleSource": False,
            "reportPossiblyUnboundVariable": self.possibly_unbound,
        }
        (folder / "pyrightconfig.json").write_text(json.dumps(configuration), "utf-8")
        return [*self._command(), "--outputjson", "--project", "."]

    def read(self, output: bytes) -> Findings:
        found = defaultdict(list)
        for one in json.loads(output)["generalDiagnostics"]:
            if one["severity"] == "error":
                line, rule = one["range"]["start"]["line"] + 1, one.get("rule", "syntax")
                message = " ".join(one["message"].split())
                found[Path(one["file"]).name].append(Finding("type_error", line, rule, message))
        return found

    def _command(self) -> list[str]:
        if find_spec("pyright"):
            return _module("pyright")
        command = shutil.which("pyright")
        if command is None:
            raise CheckerError(
                'types.checker = "pyright" needs the program pyright, which is not installed: '
                + install_packages("pyright[nodejs]")
            )
        return [command]


def open_tools(checker: str, *, undefined_names: bool = True, possibly_unbound: bool = False) -> list[Tool]:
    """The tools that these settings ask for."""
    tools: list[Tool] = [Ruff()] if undefined_names else []
    if checker == "pyrefly":
        tools.append(Pyrefly(possibly_unbound))
    elif checker == "pyright":
        tools.append(Pyright(possibly_unbound))
    return tools


def clean_environment() -> dict[str, str]:
    """The environment without what changes the tools' options."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RUFF_", "PYREFLY_"))}


@cache
def _ask_version(command: tuple[str, ...]) -> str:
    try:
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=300, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise CheckerError(f"pyright does not start ({error}): {install_packages('pyright[nodejs]')}") from None
    return answer.stdout.strip().splitlines()[-1] if answer.stdout.strip() else "pyright"


def _installed(package: str) -> str:
    if find_spec(package) is None:
        raise MissingExtra(f"checking seeds ({package})", "curation")
    return f"{package} {version(package)}"


def _module(name: str) -> list[str]:
    """The command of a package; `-P`: the folder with the code is no place to import from."""
    return [sys.executable, "-P", "-m", name]


def parse_report(tool: Tool, output: bytes) -> Findings | None:
    """The findings of a tool; None for an output that is no report."""
    try:
        return tool.read(output)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def first_line(text: Any) -> str:
    """The first line of a tool's complaint, for a message."""
    lines = str(text, "utf-8", "replace").strip().splitlines() if isinstance(text, bytes) else []
    return lines[0][:200] if lines else ""
