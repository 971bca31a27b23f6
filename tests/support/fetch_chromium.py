"""Fetch a Chromium for the tests into .venv/chromium, without root: `python -m tests.support.fetch_chromium`.

Debian's packages are unpacked, with those that they need and that the machine does not have; elsewhere playwright's own
build is taken. Nothing is done where a browser is found. The exit status is 1 where none can be had: tests of pages are
skipped then.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.support.chromium import FETCHED, find_browser

#: The browser itself, and letters where the machine has no fonts.
WANTED = ("chromium-headless-shell", "fonts-dejavu-core")
PROGRAM = Path("usr/lib/chromium/chromium-headless-shell")
#: For the whole of it.
SECONDS = 110

WRAPPER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="{libraries}"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/{program}" "$@"
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>/usr/share/fonts</dir>
  <dir prefix="relative">usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


class NotToBeHad(Exception):
    """A way to a browser that this machine does not allow."""


class Shell:
    """Runs commands quietly until the time is up."""

    def __init__(self) -> None:
        self._deadline = monotonic() + SECONDS

    def run(self, *command: str, cwd: Path, **environment: str) -> str:
        """Return what the command printed. Raises `NotToBeHad` with its last error."""
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=os.environ | {"LC_ALL": "C"} | environment,
                capture_output=True,
                text=True,
                timeout=max(1.0, self._deadline - monotonic()),
                check=False,
            )
        except FileNotFoundError:
            raise NotToBeHad(f"there is no {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise NotToBeHad(f"{command[0]} took too long") from None
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if re.search(r"\b(E|error|Error):", line)]
            raise NotToBeHad(lines[-1] if lines else f"{command[0]}: exit status {done.returncode}")
        return done.stdout


def fetch_from_debian(shell: Shell, folder: Path) -> None:
    """Unpack Debian's browser with what the machine lacks of its dependencies. Raises `NotToBeHad`."""
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        own = _own_lists(work)
        try:
            packages = _download(shell, work, [])
        except NotToBeHad:  # the machine's lists are missing or old, and only root may update them
            shell.run("apt-get", *own, "update", cwd=work)
            packages = _download(shell, work, own)
        for package in packages:
            shell.run("dpkg-deb", "-x", str(package), str(folder), cwd=work)
    shutil.rmtree(folder / "usr" / "share" / "doc", ignore_errors=True)
    _write_wrapper(folder)


def _own_lists(work: Path) -> list[str]:
    """Options that give apt package lists that are this user's."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    return [
        f"-oDir::State={work / 'state'}",
        "-oDir::State::status=/var/lib/dpkg/status",
        f"-oDir::Cache={work / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAcquire::http::Timeout=20",
        "-oAcquire::https::Timeout=20",
        "-oAcquire::Retries=1",
    ]


def _download(shell: Shell, work: Path, options: list[str]) -> list[Path]:
    """Download the wanted packages and those that apt would install with them; an upgrade is left out."""
    # Root may read what it wrote itself; apt would give that up for a user that may not read `work`.
    options = [*options, "-oAPT::Sandbox::User=root"]
    plan = shell.run("apt-get", *options, "-s", "--no-install-recommends", "install", *WANTED, cwd=work)
    names = re.findall(r"^Inst (\S+) \(", plan, re.MULTILINE)
    shell.run("apt-get", *options, "download", *names, cwd=work)
    return sorted(work.glob("*.deb"))


def _write_wrapper(folder: Path) -> None:
    """Write the program that starts the browser with the libraries and fonts that lie beside it."""
    found = {path.parent.relative_to(folder) for path in folder.rglob("*.so*")}
    libraries = ":".join(f"$here/{place}" for place in sorted(found) if place != PROGRAM.parent)
    (folder / "fonts.conf").write_text(FONTS, "utf-8")
    wrapper = folder / FETCHED.name
    wrapper.write_text(WRAPPER.format(libraries=libraries, program=PROGRAM), "utf-8")
    wrapper.chmod(0o755)


def fetch_from_playwright(shell: Shell, folder: Path) -> None:
    """Let playwright download its own build. Raises `NotToBeHad`."""
    command = (sys.executable, "-m", "playwright", "install", "chromium-headless-shell")
    shell.run(*command, cwd=folder, PLAYWRIGHT_BROWSERS_PATH=str(folder))
    found = [path for path in folder.rglob("*headless*shell") if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise NotToBeHad("playwright brought no program")
    (folder / FETCHED.name).symlink_to(found[0].relative_to(folder))


def fetch(target: Path) -> None:
    """Put a browser that starts into `target.parent`. Raises `NotToBeHad` with why every way failed."""
    shell, reasons = Shell(), []
    for way in (fetch_from_debian, fetch_from_playwright):
        folder = target.parent.with_name(target.parent.name + ".part")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            way(shell, folder)
            shell.run(str(folder / target.name), "--headless", "--no-sandbox", "--dump-dom", "about:blank", cwd=folder)
        except NotToBeHad as reason:
            reasons.append(str(reason))
            shutil.rmtree(folder)
            continue
        shutil.rmtree(target.parent, ignore_errors=True)
        folder.rename(target.parent)
        return
    raise NotToBeHad("; ".join(reasons))


def main(target: Path = FETCHED) -> int:
    """Fetch a browser where there is none; say so in one line."""
    if find_browser() is not None:
        return 0
    print(f"Fetching a browser for the tests into {target.parent} …", flush=True)
    try:
        fetch(target)
    except NotToBeHad as reason:
        print(f"Tests of pages will be skipped: install Chromium, or name one by CHROME_BIN ({reason})")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
