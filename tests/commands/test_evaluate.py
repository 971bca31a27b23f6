"""The command `evaluate`, from the command line to the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.benchmark_rows import TASKS, arithmetic_row, write_lines
from tests.support.command_line import call
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


def test_recorded_models_are_compared_and_refusals_come_before_judging(tmp_path: Path) -> None:
    """Two named files and a folder of programs for one benchmark; too few answers, unreadable and unnamed ones."""
    problems = write_lines(tmp_path / "problems.jsonl", [arithmetic_row(n, name) for n, name in enumerate(TASKS)])
    good = [
        {"task_id": f"HumanEval/{n}", "completion": f"    return {text}\n"} for n, text in enumerate(TASKS.values())
    ]
    first = write_lines(tmp_path / "first.jsonl", good)
    first.write_bytes(b"\xef\xbb\xbf" + first.read_bytes())
    second = write_lines(tmp_path / "second.jsonl", [{**row, "completion": '    return "\ud800"\n'} for row in good])
    for number, (name, text) in enumerate(TASKS.items()):
        program = tmp_path / "programs" / f"HumanEval_{number}" / "0.py"
        program.parent.mkdir(parents=True)
        program.write_text(f"def {name}(a, b): return {text}\n")
    out = tmp_path / "out"
    base = ["evaluate", "-b", "humaneval+", "--problems", str(problems), "-o", str(out)]
    both = ["--samples", f"llama={first}", "--samples", f"qwen=humaneval={second}"]
    for wrong, message in (
        (["-k", "5", *both], "first.jsonl has 1 to HumanEval/0 of humaneval+: give a lower --k"),
        (["-k", "0", *both], "--k"),
        (["--samples", str(first), "--samples", str(first)], "name them, as in --samples first="),
        (["--samples", f"x={tmp_path / 'none.jsonl'}"], "cannot read"),
        (["--samples", f"x={tmp_path / 'programs' / 'HumanEval_0'}"], "'0' is no task of humaneval+"),
        (["--samples", f"mbpp={first}"], '"mbpp=" names no benchmark asked for'),
        (
            ["--samples", f"humanevla={first}"],
            f'(for a model of that name: --samples humanevla=humaneval+={first}); did you mean "humaneval"?',
        ),
        (["-m", "embedded", "--set", "model.batch_sise=8"], "batch_size"),
        (["-m", "embedded", "--set", "seeds.limit=8"], "evaluate takes settings of the model"),
        (["-m", "embedded", "--set", "model.name=x"], "give --model"),
        (["-m", "embedded", "--mode", "few-shot"], "no prompt of humaneval+ fits into embedded, asked by few-shot"),
    ):
        refused = call(*base, *wrong)
        assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr
        assert refused.stderr.splitlines()[-1].startswith("error: ")
        assert not out.exists()
    done = call(*base, *both, "--samples", str(tmp_path / "programs"), env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout
    scores = json.loads((out / "scores.json").read_text("utf-8"))["scores"]
    found = {score["label"]: score["interval"]["mean"] for score in scores}
    assert found == {"llama": 1.0, "qwen": 0.0, "programs": 1.0}
    results = (out / "qwen" / "humaneval+" / "results.jsonl").read_text("utf-8")
    assert "\ud800" in json.loads(results.splitlines()[0])["solution"]
