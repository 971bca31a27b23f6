"""-q, -v and --log-file: what is shown, what a file gets, and that it holds no secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from selfcodealign.progress.log import conceal
from tests.support.command_line import call
from tests.support.journey import write_sources


def only_seeds(folder: Path) -> list[str]:
    """A run that needs neither model nor sandbox."""
    source = write_sources(folder / "source", 3)
    return ["run", "quickstart", "-o", str(folder / "run"), "--source", str(source), "--until", "seeds"]


def test_quiet_leaves_the_results(tmp_path: Path) -> None:
    """Nothing on stderr; the funnel on stdout; the same without -q says more."""
    words = only_seeds(tmp_path)
    quiet = call(*words, "-q")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "Where the rows went" in quiet.stdout
    assert "stopped after seeds, as --until says" in quiet.stdout
    again = call(*words)
    assert "seeds: finished" in again.stderr
    assert "stopped after seeds, as --until says" in again.stdout
    assert "debug:" not in again.stderr


def test_verbose_shows_debug_lines_before_or_after_the_command(tmp_path: Path) -> None:
    """-v has what decided each stage; it may stand in both places."""
    words = only_seeds(tmp_path)
    for line in (["-v", *words], [*words, "-v"]):
        done = call(*line)
        (line,) = [one for one in done.stderr.splitlines() if one.startswith("debug: seeds: ")]
        assert "seeds.sources" in line
        assert "{" not in line


def test_the_log_file_gets_everything_with_times(tmp_path: Path) -> None:
    """Progress, debug lines and errors, quiet or not; a second command appends."""
    log = tmp_path / "log.txt"
    words = only_seeds(tmp_path)
    assert call(*words, "-q", "--log-file", str(log)).returncode == 0
    first = log.read_text("utf-8")
    for said in ("INFO selfcodealign.said: run folder: ", "DEBUG selfcodealign.pipeline: seeds: begin"):
        assert said in first
    assert "INFO selfcodealign.said: Where the rows went" in first
    assert re.search(r"│ seeds +│ +3 files", first)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in first.splitlines())
    call("show", "nowhere", "--log-file", str(log))
    assert log.read_text("utf-8").startswith(first)
    assert "ERROR selfcodealign.said: there is no folder nowhere" in log.read_text("utf-8")


def test_a_log_file_needs_a_folder(tmp_path: Path) -> None:
    """A mistyped path makes no folder."""
    done = call("show", str(tmp_path), "--log-file", str(tmp_path / "nope" / "log.txt"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
    assert not (tmp_path / "nope").exists()


def test_the_log_file_holds_no_secrets(tmp_path: Path) -> None:
    """A user and a key in a URL, and the key in the environment."""
    log = tmp_path / "log.txt"
    url = "http://sam:hunter22@127.0.0.1:9/v1?api_key=abcdef123"
    words = ["run", "paper", "-o", str(tmp_path / "run"), "-m", "m", "--url", url, "--log-file", str(log), "-v"]
    words += ["--set", "model.retry_seconds=0", "--source", str(write_sources(tmp_path / "source", 2))]
    done = call(*words, env={"OPENAI_API_KEY": "sk-verysecret"})
    assert done.returncode == 2
    text = log.read_text("utf-8")
    assert text
    for secret in ("hunter22", "abcdef123", "sk-verysecret"):
        assert secret not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@host/x", "https://***@host/x"),
        ("['http://h/v1?key=1&b=2', 'x']", "['http://h/v1?***', 'x']"),
        ("Authorization: Bearer abcdefgh123", "Authorization: Bearer ***"),
        ("sent sekret-value", "sent ***"),
        ("git@github.com and a?b=c stay", "git@github.com and a?b=c stay"),
    ],
)
def test_conceal(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be secret is replaced, other text stays."""
    monkeypatch.setenv("MY_TOKEN", "sekret-value")
    assert conceal(text) == shown
