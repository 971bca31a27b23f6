"""The browser of the tests: it collects what goes wrong on a page; a machine without one gets one, or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fetch_chromium
from tests.support.chromium import find_browser, needs_browser, stays_here, visit

PAGE = """<!doctype html><title>A page</title><img alt="" src="https://example.org/one.png">
<script>console.error("said"); console.log("not an error"); setTimeout(() => { throw new Error("thrown") })</script>"""


@needs_browser
def test_errors_and_requests_to_other_machines_are_collected(tmp_path: Path) -> None:
    """An error of the console, an exception, a refused request; of a page opened by a link as well."""
    for name, text in (("first", PAGE), ("second", '<a href="first.html" target="_blank">first</a>')):
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
    with visit(width=360) as visited:
        visited.page.goto((tmp_path / "second.html").as_uri())
        assert (visited.errors, visited.outside) == ([], [])
        with visited.page.context.expect_event("weberror"), visited.page.expect_popup() as opened:
            visited.page.get_by_role("link", name="first").click()
        assert opened.value.title() == "A page"
        opened.value.wait_for_load_state()
    assert visited.outside == ["https://example.org/one.png"]
    for word in ("said", "thrown", "one.png"):
        assert word in " ".join(visited.errors)
    assert "not an error" not in " ".join(visited.errors)


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_the_window_is_as_asked(dark: bool) -> None:
    """Its width, height and colour scheme; without JavaScript a page still stands."""
    with visit(width=360, height=640, dark=dark) as visited:
        script = "[innerWidth, innerHeight, matchMedia('(prefers-color-scheme: dark)').matches]"
        assert visited.page.evaluate(script) == [360, 640, dark]
    with visit(script=False) as visited:
        visited.page.set_content("<p>old</p><script>document.querySelector('p').textContent = 'new'</script>")
        assert visited.page.inner_text("p") == "old"


def test_what_leaves_the_machine() -> None:
    """Files, data and the loopback stay; a host whose name begins like it does not."""
    assert all(map(stays_here, ("file:///a", "data:,x", "blob:null/1", "http://127.0.0.1:80/a", "ws://localhost:1/")))
    assert not any(map(stays_here, ("https://example.org", "http://127.0.0.1.example.org/", "ws://localhost.x/")))


def test_the_browser_of_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then the path, then the one that was fetched, then none."""
    fetched, program = tmp_path / "chrome", tmp_path / "bin" / "chromium"
    monkeypatch.delenv("CHROME_BIN", raising=False)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr("tests.support.chromium.FETCHED", fetched)
    assert find_browser() is None
    fetched.touch()
    assert find_browser() == str(fetched)
    program.parent.mkdir()
    program.touch(0o755)
    assert find_browser() == str(program)
    monkeypatch.setenv("CHROME_BIN", "mine")
    assert find_browser() == "mine"


def test_a_machine_without_any_way_to_a_browser_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names what to do and why each way failed; nothing is left behind."""
    monkeypatch.setattr(fetch_chromium, "find_browser", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9")
    assert fetch_chromium.main(tmp_path / "venv" / "chromium" / "chrome") == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[1].startswith(
        "Tests of pages will be skipped: install Chromium, or name one by CHROME_BIN (there is no apt"
    )
    assert list((tmp_path / "venv").iterdir()) == []


def test_where_a_browser_is_found_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set-up says nothing then."""
    monkeypatch.setattr(fetch_chromium, "find_browser", lambda: "chromium")
    assert fetch_chromium.main(tmp_path / "chromium" / "chrome") == 0
    assert (capsys.readouterr().out, list(tmp_path.iterdir())) == ("", [])
