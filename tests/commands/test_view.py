"""The command `view`: how it ends, what it refuses in one line, and a bundle that is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from selfcodealign.explorer.bundle import write_bundle
from tests.support.command_line import call
from tests.support.explorer import make_run, write_stage
from tests.support.places import ROOT
from tests.support.processes import wait_for
from tests.support.rows import make_drop, make_response
from tests.support.viewing import View

#: Bundles a run, and waits within a query that never ends, which it announces. Arguments: the run, the site.
ENDLESS = """
import sys
from selfcodealign.cli import main
from selfcodealign.explorer.bundled_rows import BundledRows

def draw(self):
    print("drawing", flush=True)
    self._run("SELECT sum(sin(range)) FROM range(1000000000000)").fetchall()

BundledRows.draw = draw
sys.argv = ["selfcodealign", "view", sys.argv[1], "--bundle", sys.argv[2]]
main()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("view"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(run: Path, number: int) -> None:
    """With code 0 and nothing to say but what stops it, as `serve-sandbox` does; its port is free again."""
    one = View(run)
    assert httpx.get(one.address, follow_redirects=True).status_code == 200
    assert one.stop(number) == (0, "Ctrl-C stops\n")
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", int(one.base.rpartition(":")[2])))


def test_a_second_signal_does_not_wait_for_an_answer(run: Path) -> None:
    """While a query runs the first Ctrl-C would wait for it; the second ends the command with the code of Ctrl-C."""
    one = View(run)
    with httpx.Client(base_url=one.base, timeout=60) as client:
        client.get(one.address)
        form = b"query=SELECT+sum(sin(range))+FROM+range(1000000000000)"
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        head = f"POST /sql HTTP/1.1\r\nHost: {one.base.removeprefix('http://')}\r\nOrigin: {one.base}\r\n"
        head += f"Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as asking:
            asking.sendall(f"{head}Content-Length: {len(form)}\r\n\r\n".encode() + form)
            children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
            assert wait_for(lambda: bool(children.read_text()))
            one.process.send_signal(signal.SIGINT)
            assert wait_for(lambda: not takes_requests(client.base_url.port or 0))
            code, errors = one.stop(signal.SIGINT)
    assert (code, errors.splitlines()[-1]) == (130, "stopped")
    assert "Traceback" not in errors


def takes_requests(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    """A port that is taken, a folder without a run, options that mean nothing together, the place of other files."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    site = ["--bundle", str(tmp_path / "site")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = {
            (str(run), "--no-open", "--port", str(port)): f"--port {port}: address already in use; choose another one",
            (str(tmp_path),): f"{tmp_path} is no run folder",
            (str(tmp_path), *site): f"{tmp_path} is no run folder",
            (str(run), *site, "--port", "0"): "--bundle writes files and serves nothing: leave out --port",
            (str(run), *site, "--open"): "--bundle writes files and serves nothing",
            (str(run), *site, "--no-open"): "--bundle writes files and serves nothing",
            (str(run), "--most", "5"): "--most is about a static site: give --bundle DIR",
            (str(run), "--bundle", str(tmp_path / "full")): "full holds other files, which stay",
            (str(run), "--bundle", str(tmp_path / "full" / "mine.txt")): "mine.txt is no folder",
        }
        for words, said in cases.items():
            done = call("view", *words)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
            assert said.lower() in done.stderr.lower()
    assert [one.name for one in tmp_path.iterdir()] == ["full"]
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "stopped")]
)
def test_a_stopped_bundle_leaves_what_was_there(run: Path, tmp_path: Path, number: int, code: int, said: str) -> None:
    """Also within a query: the earlier site stays whole, and nothing lies beside it."""
    assert call("view", str(run), "--bundle", str(tmp_path / "site"), "--most", "3").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(run), str(tmp_path / "site")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "drawing\n"
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()  # one that has not ended would work for ever
    assert (process.returncode, errors) == (code, f"{said}\n")
    assert [one.name for one in tmp_path.iterdir()] == ["site"]
    assert json.loads((tmp_path / "site" / "bundle.json").read_text())["rows_per_stage"] == 3


def test_a_site_that_cannot_be_put_in_place_gives_the_place_back(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one has its name again."""
    site, real = tmp_path / "site", os.rename
    write_bundle(run, site, 3)

    def rename(old: str | Path, new: str | Path) -> None:
        if Path(new) == site and Path(old).name != "site":
            raise KeyboardInterrupt
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(run, site, 4)
    assert [one.name for one in tmp_path.iterdir()] == ["site"]
    assert json.loads((site / "bundle.json").read_text())["rows_per_stage"] == 3


def test_a_run_in_progress_is_bundled(tmp_path: Path) -> None:
    """Its rows so far, and a stage without any; a run that has not begun has an overview."""
    write_stage(tmp_path / "run", "responses", [make_response(1)], [make_drop(2)])
    write_stage(tmp_path / "run", "selection", [], [])
    done = call("view", str(tmp_path / "run"), "--bundle", str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    assert "under way" in (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "2 of 2 rows" in (tmp_path / "site" / "stage" / "responses.html").read_text("utf-8")
    for name in ("responses", "selection"):
        shutil.rmtree(tmp_path / "run" / name)
    assert call("view", str(tmp_path / "run"), "--bundle", str(tmp_path / "site")).returncode == 0
    assert not (tmp_path / "site" / "stage").exists()
