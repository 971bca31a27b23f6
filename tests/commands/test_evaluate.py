"""The command `evaluate`, from the command line to the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.benchmark_rows import TASKS, arithmetic_row, write_lines
from tests.support.places import ROOT


def test_the_command_prints_one_table_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of answers to two benchmarks in one call; wrong names and options end in one line with a fix."""
    from selfcodealign.cli import app, main

    problems = write_lines(
        tmp_path / "problems.jsonl", [arithmetic_row(number, name) for number, name in enumerate(TASKS)]
    )
    rows = [
        {"task_id": f"HumanEval/{n}", "completion": f"    return {text}\n"} for n, text in enumerate(TASKS.values())
    ]
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    tiny = json.loads((ROOT / "selfcodealign/embedded/tiny_eval.jsonl").read_text().splitlines()[0])
    given = {"task_id": tiny["task_id"], "completion": tiny["canonical_solution"]}
    other = write_lines(tmp_path / "tiny.jsonl", [given])
    call = ["evaluate", "-b", "humaneval+", "-b", "tiny-eval", "--problems", f"humaneval={problems}", "--limit", "1"]
    call += ["--samples", f"humaneval={answers}", "--samples", f"tiny-eval={other}", "-o", str(tmp_path / "out")]
    app(call, standalone_mode=False)
    printed = capsys.readouterr().out
    assert printed.count("100.0") >= 3
    assert (tmp_path / "out" / "scores.html").exists()
    assert "not in this table" not in printed
    (tmp_path / "answers.jsonl").rename(tmp_path / "second.jsonl")
    call = ["evaluate", "-b", "humaneval+", "--problems", str(problems), "--limit", "1"]
    app([*call, "--samples", str(tmp_path / "second.jsonl"), "-o", str(tmp_path / "out")], standalone_mode=False)
    assert "before: answers; to compare" in " ".join(capsys.readouterr().out.split())
    for wrong, message in (
        (["-b", "humanevl", "--model", "m"], 'did you mean "humaneval'),
        (["-b", "tiny-eval", "--model", "m", "--mode", "chatt"], 'did you mean "chat"'),
        (["-b", "tiny-eval"], "give --model"),
        (["-b", "tiny-eval", "--model", "m", "--sandbox", "none"], "--sandbox none: input should be"),
        (["-b", "tiny-eval", "-b", "mbpp", "--samples", "x.jsonl"], "say which one"),
        (["-b", "mbpp", "--problems", "mbp=x.jsonl", "--model", "m"], 'did you mean "mbpp"'),
    ):
        monkeypatch.setattr("sys.argv", ["selfcodealign", "evaluate", *wrong, "-o", str(tmp_path / "no")])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1
