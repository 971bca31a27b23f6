"""Undefined names and type errors in batches: the tools' findings, and what happens when a tool fails."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfcodealign.curation import static_checks
from selfcodealign.curation.batches import Batches
from selfcodealign.curation.static_checks import Unchecked, check_codes, probe
from selfcodealign.curation.static_tools import Finding, Findings, Pyrefly, Pyright, Ruff, Tool, open_tools
from selfcodealign.errors import CheckerError, MissingExtra

FINE = "def double(x: int) -> int:\n    return 2 * x\n"
CODES = {
    "fine": FINE,
    "no name": "def f(x):\n    return x + missing\n",
    "wrong type": "def f(x: int) -> int:\n    y = x + 1\n    return y + 'a'\n",
    "not in the standard library": "from itertools import no_such_thing\n\n\ndef f(x):\n    return no_such_thing(x)\n",
    "module that is nowhere": "import no_such_module as m\n\n\ndef g(x):\n    return m.f(m.a(x)) + 1\n",
    "installed package": "import numpy as np\n\n\ndef f(x: int):\n    return np.no_such_function(x) + np.pi.nothing\n",
    "perhaps unset": "def f(xs):\n    for x in xs:\n        last = x\n    return last\n",
    "return outside": "return 1\n",
    "suppressed undefined name": "def f(x):\n    return missing  # noqa: F821  # type: ignore\n",
}


async def told(tools: Sequence[Tool], *codes: str) -> list[str]:
    """Each result as `reason line`, "fine" or "unchecked"."""
    results = await check_codes(codes, tools)
    return [
        "unchecked" if isinstance(one, Unchecked) else f"{one[0].reason} {one[0].line}" if one else "fine"
        for one in results
    ]


EXPECTED = {
    "fine": "fine",
    "no name": "undefined_names 2",
    "wrong type": "type_error 3",
    "not in the standard library": "type_error 1",
    "module that is nowhere": "fine",
    "installed package": "fine",
    "perhaps unset": "fine",
    "return outside": "syntax_error 1",
    "suppressed undefined name": "undefined_names 2",
}


async def test_findings_are_those_of_each_code() -> None:
    """In one batch each code has its own findings; modules that are not of the standard library are unknown."""
    found = await told(open_tools("pyrefly"), *CODES.values())
    assert dict(zip(CODES, found, strict=True)) == EXPECTED


async def test_settings_choose_the_tools() -> None:
    """Without types only names are checked, and the other way round; a variable that may be unset counts if asked."""
    assert await told(open_tools("none"), CODES["no name"], CODES["wrong type"]) == ["undefined_names 2", "fine"]
    only_types = open_tools("pyrefly", undefined_names=False)
    assert [tool.describe().split()[0] for tool in only_types] == ["pyrefly"]
    strict = open_tools("pyrefly", possibly_unbound=True)
    assert await told(strict, CODES["perhaps unset"]) == ["type_error 4"]


@pytest.mark.skipif(shutil.which("pyright") is None, reason="the program pyright is not installed")
async def test_pyright_agrees_on_plain_cases() -> None:
    """The checker of the paper, where it is installed."""
    found = await told(open_tools("pyright"), *CODES.values())
    assert dict(zip(CODES, found, strict=True)) == EXPECTED


def test_a_report_of_pyright_is_read() -> None:
    """Errors count, warnings do not; lines are counted from 1."""
    one = {"file": "/tmp/x/a.py", "message": "is\n wrong", "range": {"start": {"line": 4, "character": 0}}}
    report = {"generalDiagnostics": [one | {"severity": "error", "rule": "r"}, one | {"severity": "warning"}]}
    assert Pyright().read(json.dumps(report).encode()) == {"a.py": [Finding("type_error", 5, "r", "is wrong")]}


async def test_the_users_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files in the working directory nor variables of the environment change a verdict."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.ruff.lint]\nignore = ["F821"]\n[tool.pyrefly.errors]\nbad-return = false\n'
    )
    (tmp_path / "pyrefly.toml").write_text("[errors]\nunsupported-operation = false\n")
    (tmp_path / "no_such_module.py").write_text("def a(x: str) -> None: ...\n")
    (tmp_path / "ruff.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYREFLY_CONFIG", str(tmp_path / "pyrefly.toml"))
    monkeypatch.setenv("RUFF_OUTPUT_FORMAT", "full")
    found = await told(open_tools("pyrefly"), *CODES.values())
    assert dict(zip(CODES, found, strict=True)) == EXPECTED


def test_a_tool_that_is_missing_is_named_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra for ruff and pyrefly; for pyright, which is in none, its package."""
    monkeypatch.setattr("selfcodealign.curation.static_tools.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", os.devnull)
    for tool in (Ruff(), Pyrefly()):
        with pytest.raises(MissingExtra, match="curation"):
            tool.describe()
    with pytest.raises(CheckerError, match=r"pyright\[nodejs\]"):
        Pyright().describe()


class OwnTool:
    """A checker that finds the word `wrong`, dies of `crash`, never ends with `hang`, and is `broken` altogether."""

    def __init__(self, folder: Path, *, broken: bool = False) -> None:
        self.script = folder / "tool.py"
        self.runs = folder / "runs"
        self.runs.touch()
        self.script.write_text(
            f"""
import json, os, pathlib, sys
texts = {{one.name: one.read_text() for one in sorted(pathlib.Path('.').glob('*.py'))}}
with open({str(self.runs)!r}, 'a') as runs:
    print(len(texts), file=runs)
if {broken}:
    sys.exit('no licence for this tool')
for text in texts.values():
    if 'crash' in text:
        os.abort()
    while 'hang' in text:
        pass
print(json.dumps([name for name, text in texts.items() if 'wrong' in text or 'undefined' in text]))
"""
        )

    def describe(self) -> str:
        return "own 1.0"

    def configure(self, folder: Path) -> list[str]:
        return [sys.executable, str(self.script)]

    def read(self, output: bytes) -> Findings:
        return {name: [Finding("type_error", 1, "wrong", "wrong")] for name in json.loads(output)}


async def test_a_code_that_crashes_the_tool_takes_no_other_with_it(tmp_path: Path) -> None:
    """It is found by checking parts of the batch; all others have their findings."""
    codes = [f"x = {number}" for number in range(40)]
    codes[7], codes[23], codes[24] = "crash", "wrong", "crash"
    tool = OwnTool(tmp_path)
    found = await told([tool], *codes)
    assert [number for number, one in enumerate(found) if one == "unchecked"] == [7, 24]
    assert [number for number, one in enumerate(found) if one == "type_error 1"] == [23]
    (failed,) = await check_codes(["crash"], [tool])
    assert isinstance(failed, Unchecked)
    assert failed.tool == "own 1.0"
    assert failed.what == "it was ended by signal 6"


async def test_a_code_on_which_the_tool_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor time that the tool takes, so that a busy machine changes nothing."""
    monkeypatch.setattr(static_checks, "_SECONDS", 1)
    assert await told([OwnTool(tmp_path)], "hang", "x = 1", "wrong") == ["unchecked", "fine", "type_error 1"]


async def test_a_tool_that_fails_on_everything_is_an_error(tmp_path: Path) -> None:
    """Never a verdict about rows: the run stops, with what the tool said."""
    tool = OwnTool(tmp_path, broken=True)
    assert probe(tool) == "own 1.0 does not check code here (exit status 1): no licence for this tool"
    with pytest.raises(CheckerError, match="no licence for this tool"):
        await check_codes(["x = 1", "y = 2"], [tool])


async def test_concurrent_calls_share_a_process(tmp_path: Path) -> None:
    """Calls that wait while the tool runs are its next batch, of bounded size."""
    tool = OwnTool(tmp_path)

    async def work(codes: Sequence[str]) -> Sequence[object]:
        return await check_codes(codes, [tool])

    batches = Batches(work, 30)
    results = await asyncio.gather(*(batches("wrong" if number % 10 == 0 else "x") for number in range(70)))
    assert [bool(one) for one in results] == [number % 10 == 0 for number in range(70)]
    assert sorted(map(int, tool.runs.read_text().split())) == [10, 30, 30]


async def test_a_cancelled_call_leaves_the_others_their_results() -> None:
    """Also the one that does the work of a batch: the next one that waits does it."""
    entered = asyncio.Event()

    async def work(items: Sequence[int]) -> Sequence[int]:
        entered.set()
        await asyncio.sleep(0.01)
        return [2 * item for item in items]

    batches = Batches(work, 10)
    calls = [asyncio.ensure_future(batches(number)) for number in range(25)]
    await entered.wait()
    for number in (0, 5, 20):
        calls[number].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [one for one in results if isinstance(one, int)] == [2 * n for n in range(25) if n not in (0, 5, 20)]


async def test_nothing_is_left_of_a_cancelled_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool's process and the folder are gone when the call ends."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    tool = OwnTool(own)
    check = asyncio.ensure_future(check_codes(["hang"], [tool]))
    while not tool.runs.read_text():
        await asyncio.sleep(0.01)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert sorted(one.name for one in tmp_path.iterdir()) == ["own"]
