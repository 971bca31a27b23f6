"""When the hub fails, or a person stops: one line, and the repository is as it was or as it will be."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.hub_server import HubServer
from tests.support.processes import wait_for
from tests.support.published import environment, push


@pytest.mark.parametrize(
    ("status", "request_path", "said"),
    [
        (401, "whoami", "does not accept the token"),
        (403, "repos/create", "the token may not write to ada/mine"),
        (404, "preupload", "the hub has no ada/mine"),
        (409, "commit", "has changed in the meantime"),
        (412, "commit", "has changed in the meantime"),
        (413, "commit", "too large"),
        (429, "whoami", "too many requests"),
        (500, "whoami", "the hub failed (status 500)"),
        (503, "commit", "the hub failed (status 503)"),
    ],
)
def test_answers_of_the_hub_are_one_line(
    finished: Path, hub: HubServer, tmp_path: Path, status: int, request_path: str, said: str
) -> None:
    """Whatever it answers and wherever: no traceback, no commit, and the fix."""
    hub.fail[request_path] = status
    done = push(hub, tmp_path, finished, "ada/mine", "--yes")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert all(len(one.commits) == 1 for one in hub.repositories.values())


def test_a_hub_that_cannot_be_reached_is_one_line(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """No connection, and a set-up that forbids one."""
    away = push(hub, tmp_path, finished, "ada/mine", "--yes", HF_ENDPOINT="http://127.0.0.1:9")
    assert away.returncode == 2
    assert "the hub cannot be reached" in away.stderr
    assert away.stderr.count("\n") == 1
    offline = push(hub, tmp_path, finished, "ada/mine", "--yes", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set: unset it to push" in offline.stderr


def test_ctrl_c_leaves_no_commit_and_the_same_command_goes_on(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """Stopped while a file is sent: exit code 130, an empty repository; then everything arrives."""
    sending, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        sending.set()
        go_on.wait(60)

    hub.hold = hold
    command = [sys.executable, "-m", "selfcodealign", "push", str(finished), "ada/mine", "--yes"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment(hub, tmp_path), **pipes)
    assert sending.wait(60)
    process.send_signal(signal.SIGINT)
    assert wait_for(lambda: process.poll() is not None)
    told = process.communicate()[1]
    go_on.set()
    assert process.returncode == 130, told
    assert told.splitlines()[0] == "stopped; no file has changed on the hub, and the same command goes on"
    assert hub.repositories["dataset", "ada/mine"].files == {}
    hub.hold = lambda: None
    done = push(hub, tmp_path, finished, "ada/mine", "--yes")
    assert done.returncode == 0, done.stderr
    assert "README.md" in hub.repositories["dataset", "ada/mine"].files


def test_without_the_library_the_extra_is_named(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """A set-up without huggingface_hub: the command that adds it."""
    (tmp_path / "huggingface_hub").mkdir()
    (tmp_path / "huggingface_hub" / "__init__.py").write_text("raise ImportError('no such library')\n")
    done = push(hub, tmp_path, finished, "ada/mine", "--dry-run", PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert done.returncode == 2
    assert "push needs an optional dependency" in done.stderr
    assert "[hub]" in done.stderr
