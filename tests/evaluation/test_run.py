"""From models and files of answers to scores, comparisons and files, with scripted models and the real sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import BenchmarkError, ModelError, RunFolderError
from selfcodealign.evaluation import Candidate, Evaluation, evaluate
from selfcodealign.evaluation.asking import open_chat_format
from selfcodealign.evaluation.table import no_code_share
from selfcodealign.models import Completion, PromptTooLong, RequestFailed, Sampling
from selfcodealign.models.scripted import ScriptedModel
from selfcodealign.progress import Progress
from selfcodealign.settings import EvaluateSettings, ExecutionSettings
from tests.support.benchmark_rows import TASKS, arithmetic_row, read_lines, write_lines
from tests.support.command_line import call
from tests.support.places import find_shared
from tests.support.told import Told


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "problems.jsonl", [arithmetic_row(number, name) for number, name in enumerate(TASKS)])


def run(
    candidates: Sequence[Candidate],
    out: Path,
    problems: Path,
    benchmarks: Sequence[str] = ("humaneval+",),
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    files = dict.fromkeys(benchmarks, problems)
    asked = EvaluateSettings(**settings)
    return asyncio.run(evaluate(candidates, benchmarks, out, asked, ExecutionSettings(), files, progress))


def score_of(evaluation: Evaluation, label: str, benchmark: str, k: int = 1) -> float:
    (score,) = [s for s in evaluation.scores if (s.label, s.benchmark, s.k) == (label, benchmark, k)]
    return score.interval.mean


def answer_all(prompt: str, sampling: Sampling, seed: int) -> str:
    """Knows every task, as continuation or in a fence, whichever the prompt has opened."""
    name = max(TASKS, key=lambda name: prompt.rfind(f"def {name}"))
    if prompt.endswith("```python"):
        return f"\ndef {name}(a, b):\n    return {TASKS[name]}\n```\nThat is it."
    if "## Example" in prompt:
        return f"Here:\n```python\ndef {name}(a, b):\n    return {TASKS[name]}\n```\n"
    newline = "" if prompt.endswith("\n") else "\n"
    return f"{newline}    return {TASKS[name]}\n\ndef unrelated():\n    pass\n"


@pytest.mark.parametrize("mode", ["completion", "completion-unstripped", "few-shot", "chat"])
def test_a_model_that_knows_everything_scores_full_marks_in_every_mode(
    tmp_path: Path, problems: Path, mode: Any
) -> None:
    """By completion, by one worked example and in a chat, each with its own prompt and stop strings."""
    prompts: list[tuple[str, Sampling]] = []

    def answer(prompt: str, sampling: Sampling, seed: int) -> str:
        prompts.append((prompt, sampling))
        return answer_all(prompt, sampling, seed)

    evaluation = run([Candidate(label="m", mode=mode, model=ScriptedModel(answer))], tmp_path / "out", problems)
    assert score_of(evaluation, "m", "humaneval+") == score_of(evaluation, "m", "humaneval") == 1.0
    prompt, sampling = prompts[0]
    assert sampling.temperature == 0
    if mode == "chat":
        assert prompt.startswith(
            "### Instruction\nWrite a Python function to solve the following task:\n```python\ndef "
        )
        assert prompt.endswith("### Response\n```python")
    elif mode == "few-shot":
        assert prompt.count("## Example") == 2
        assert "</response>" in sampling.stop
    else:
        published = arithmetic_row(0, "add")["prompt"]
        assert prompt == (published.strip() if mode == "completion" else published)
        assert "\ndef " in sampling.stop


def test_two_models_are_compared_task_by_task_in_one_table(tmp_path: Path, problems: Path) -> None:
    """One table for both, in Markdown, HTML and JSON, with a sentence about the difference."""

    def half(prompt: str, sampling: Sampling, seed: int) -> str:
        return answer_all(prompt, sampling, seed) if "def add" in prompt or "def larger" in prompt else " nonsense("

    candidates = [
        Candidate(label="base", model=ScriptedModel(half)),
        Candidate(label="tuned | best", model=ScriptedModel(answer_all)),
    ]
    out = tmp_path / "out"
    evaluation = run(candidates, out, problems)
    assert score_of(evaluation, "base", "humaneval+") == 0.5
    (first, second) = evaluation.comparisons
    assert (first.difference, first.tasks, first.p_value) == (0.5, 4, 0.5)
    assert "inside the noise" in first.sentence()
    assert second.benchmark == "humaneval+"
    markdown = (out / "scores.md").read_text()
    assert "| base | chat | 50.0 [0.0–100.0] | 50.0 [0.0–100.0] |" in markdown
    assert "| tuned \\| best | chat | 100.0 [51.0–100.0] |" in markdown
    assert "inside the noise" in markdown
    page = (out / "scores.html").read_text()
    assert "100.0 [51.0–100.0]" in page
    assert "http" not in page
    scores = json.loads((out / "scores.json").read_text())
    assert scores["scores"][0]["values"] == {
        "HumanEval/0": 1.0,
        "HumanEval/1": 0.0,
        "HumanEval/2": 0.0,
        "HumanEval/3": 1.0,
    }


def test_results_come_in_our_format_and_in_evalplus(tmp_path: Path, problems: Path) -> None:
    """Rows with verdicts as JSON Lines and Parquet; statuses and first failing inputs as EvalPlus writes them."""
    import pyarrow.parquet

    rows = [
        {"task_id": f"HumanEval/{n}", "completion": f"    return {text}\n"} for n, text in enumerate(TASKS.values())
    ]
    rows[2]["completion"] = "    return 6\n"
    rows[3]["completion"] = "    return missing\n"
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    out = tmp_path / "out"
    run([Candidate(label="m", samples={"": answers})], out, problems)
    folder = out / "m" / "humaneval+"
    found = json.loads((folder / "eval_results.json").read_text())
    assert list(found) == ["date", "hash", "eval"]
    assert len(found["hash"]) == 32
    entry = found["eval"]["HumanEval/2"][0]
    assert entry == {
        "task_id": "HumanEval/2",
        "solution": arithmetic_row(2, "multiply")["prompt"] + "    return 6\n",
        "base_status": "pass",
        "plus_status": "fail",
        "base_fail_tests": [],
        "plus_fail_tests": [[0, -1]],
    }
    assert found["eval"]["HumanEval/3"][0]["base_fail_tests"] == [[3, 2]]
    results = read_lines(folder / "results.jsonl")
    assert [one["status"] for one in results] == ["passed", "passed", "failed", "error"]
    assert results[2]["value:humaneval"] == 1.0
    table = pyarrow.parquet.read_table(folder / "results.parquet")
    assert table.column("status").to_pylist() == [one["status"] for one in results]


def test_many_samples_give_unbiased_pass_at_k(tmp_path: Path, problems: Path) -> None:
    """Of four answers per task one is right: pass@1 is 1/4 and pass@2 is 1/2."""

    def sometimes(prompt: str, sampling: Sampling, seed: int) -> str:
        counts[prompt] = counts.get(prompt, 0) + 1
        return answer_all(prompt, sampling, seed) if counts[prompt] == 2 else "\nx = 1"

    counts: dict[str, int] = {}
    model = Candidate(label="m", model=ScriptedModel(sometimes))
    evaluation = run([model], tmp_path / "out", problems, samples=4, temperature=0.8, k=[1, 2])
    assert score_of(evaluation, "m", "humaneval+") == 0.25
    assert score_of(evaluation, "m", "humaneval+", k=2) == 0.5


def test_too_few_answers_for_a_score_are_said_before_any_work(tmp_path: Path, problems: Path) -> None:
    """Below the largest k, by a model that would be asked or in a file; and greedy answers, which are all equal."""
    scripted = ScriptedModel(answer_all)
    model = Candidate(label="m", model=scripted)
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    return 1\n"} for number in (0, 0, 1, 2, 2, 3, 3)]
    given = Candidate(label="given", samples={"": write_lines(tmp_path / "answers.jsonl", rows)})
    refused: list[tuple[list[Candidate], str, dict[str, Any]]] = [
        ([model], r"pass@8 needs 8 answers per task; m is asked for 4: give --n 8", {"k": [1, 8], "temperature": 0.8}),
        ([model], "--temperature", {}),
        ([model, given], r"pass@2 needs 2 .*answers.jsonl has 1 to HumanEval/1", {"k": [2], "temperature": 0.8}),
    ]
    for candidates, message, settings in refused:
        with pytest.raises(BenchmarkError, match=message):
            run(candidates, tmp_path / "out", problems, samples=4, **settings)
    assert scripted.calls == 0


def test_an_interrupted_evaluation_goes_on_where_it_stopped(tmp_path: Path, problems: Path) -> None:
    """What a dying server had answered is kept and told, a torn last row is asked again, nothing is asked twice."""
    out = tmp_path / "out"
    dying = ScriptedModel(answer_all, fail_after=2, concurrency=1)
    with pytest.raises(ModelError):
        run([Candidate(label="m", model=dying)], out, problems)
    path = out / "m" / "humaneval+" / "samples.jsonl"
    assert len(read_lines(path)) == 3
    path.write_text(path.read_text() + '{"task_id": "HumanEval/2", "sam')
    model = ScriptedModel(answer_all)
    told = Told()
    evaluation = run([Candidate(label="m", model=model)], out, problems, progress=told)
    assert score_of(evaluation, "m", "humaneval") == 1.0
    assert model.calls == 2
    asking, judging = "m: humaneval+, asking", "m: judging"
    assert [call for call in told.calls if call[0] != "advance"] == [
        ("start", asking, 4, "answers"),
        ("skip", asking, 2),
        ("finish", asking, "4 answers"),
        ("start", judging, 4, "answers"),
        ("finish", judging, "4 answers"),
    ]
    assert (told.advanced(asking), told.advanced(judging)) == (2, 4)
    again = ScriptedModel(answer_all)
    run([Candidate(label="m", model=again)], out, problems)
    assert again.calls == 0
    other = Candidate(label="m", model=ScriptedModel(answer_all, name="another"))
    with pytest.raises(BenchmarkError, match=r"another model \(model was '.*', is 'another'.*\): give another --out"):
        run([other], out, problems)
    warmer = Candidate(label="m", model=ScriptedModel(answer_all))
    with pytest.raises(BenchmarkError, match=r"\(temperature was 0.0, is 0.5\)"):
        run([warmer], out, problems, temperature=0.5)


def test_an_evaluation_that_died_in_its_header_begins_anew(tmp_path: Path, problems: Path) -> None:
    """The first row ends without a newline: no answer is lost, and the file is no other evaluation's."""
    path = tmp_path / "out" / "m" / "humaneval+" / "samples.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"evaluation": {"model": "scr')
    evaluation = run([Candidate(label="m", model=ScriptedModel(answer_all))], tmp_path / "out", problems)
    assert score_of(evaluation, "m", "humaneval") == 1.0
    assert len(read_lines(path)) == 1 + len(TASKS)


def test_a_folder_of_an_evaluation_has_each_answer_once(tmp_path: Path, problems: Path) -> None:
    """Its results.jsonl repeats the answers of its samples.jsonl."""
    run([Candidate(label="m", model=ScriptedModel(answer_all))], tmp_path / "out", problems)
    own = tmp_path / "out" / "m" / "humaneval+"
    assert {file.name for file in own.glob("*.jsonl")} == {"samples.jsonl", "results.jsonl"}
    run([Candidate(label="again", samples={"": own})], tmp_path / "second", problems)
    found = read_lines(tmp_path / "second" / "again" / "humaneval+" / "results.jsonl")
    assert [row["task_id"] for row in found] == [f"HumanEval/{number}" for number in range(len(TASKS))]


def test_what_cannot_be_judged_is_left_out_and_said(tmp_path: Path, problems: Path) -> None:
    """A task whose reference does not run lowers no score; when all are so, the evaluation stops."""
    rows = read_lines(problems)
    rows[1]["canonical_solution"] = "    return missing\n"
    evaluation = run(
        [Candidate(label="m", model=ScriptedModel(answer_all))], tmp_path / "a", write_lines(problems, rows)
    )
    assert score_of(evaluation, "m", "humaneval+") == 1.0
    assert {(score.tasks, score.not_judged) for score in evaluation.scores} == {(3, 1)}
    (note,) = [note for note in evaluation.notes if "1 of 4 tasks of humaneval+ could not be judged here" in note]
    assert note.endswith("[HumanEval/1].")
    assert "100.0 [43.9–100.0] †" in (tmp_path / "a" / "scores.md").read_text()
    for one in rows:
        one["canonical_solution"] = "    return missing\n"
    with pytest.raises(BenchmarkError, match="could be judged"):
        run([Candidate(label="m", model=ScriptedModel(answer_all))], tmp_path / "b", write_lines(problems, rows))


@pytest.mark.parametrize("place", ["out", "out/m"])
def test_a_file_where_a_folder_belongs_is_found_before_a_model_is_asked(
    tmp_path: Path, problems: Path, place: str
) -> None:
    """`-o old.jsonl`, and a file under the name of a model."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    model = ScriptedModel(answer_all)
    with pytest.raises(RunFolderError, match=r"cannot make the folder .*; choose another place"):
        run([Candidate(label="m", model=model)], tmp_path / "out", problems)
    assert model.calls == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:3], "has no answer to 1 of 4 tasks"),
        (lambda rows: [*rows, {"task_id": "Mbpp/2", "completion": ""}], "'Mbpp/2' is no task of humaneval"),
        (lambda rows: [{"task_id": "HumanEval/0", "answer": "x"}], "a row needs one of solution, completion, text, "),
        (lambda rows: [{"solution": "x"}], "answers.jsonl:1: the row has no task_id"),
        (lambda rows: [{"task_id": "HumanEval/0", "solution": ["x"]}], "one row per answer"),
        (lambda rows: ["x"], "must be one JSON object"),
    ],
)
def test_broken_files_of_answers_are_refused_by_line(tmp_path: Path, problems: Path, change: Any, message: str) -> None:
    """Missing tasks, unknown tasks, rows without an answer: each is named, none is scored as wrong."""
    rows = [{"task_id": f"HumanEval/{number}", "completion": "    return 1\n"} for number in range(4)]
    answers = write_lines(tmp_path / "answers.jsonl", change(rows))
    with pytest.raises(BenchmarkError, match=message):
        run([Candidate(label="m", samples={"": answers})], tmp_path / "out", problems)


def test_answers_may_come_as_raw_text(tmp_path: Path, problems: Path) -> None:
    """Chat answers with thinking and fences, whole solutions and completions are read as what they are."""
    rows = [
        {"task_id": "HumanEval/0", "text": "<think>hm</think>Sure:\n```python\ndef add(a, b):\n    return a + b\n```"},
        {"task_id": "HumanEval/1", "solution": "def subtract(a, b): return a - b"},
        {"task_id": "HumanEval/2", "completion": "    return a * b"},
        {"task_id": "HumanEval/3", "response": "def larger(a, b):\n    return max(a, b)"},
    ]
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    evaluation = run([Candidate(label="m", samples={"humaneval": answers})], tmp_path / "out", problems)
    assert score_of(evaluation, "m", "humaneval+") == 1.0


def test_lone_surrogates_in_answers_are_judged_and_kept(tmp_path: Path, problems: Path) -> None:
    """No UTF-8 has them: in code, in what an answer returns and raises, in the text around the code."""
    head = "def {}(a, b):\n"
    texts = [
        "A \ud83d \udc80.\n```python\n" + head.format("add") + "    return a + b\n```\n",
        "```python\n" + head.format("subtract") + "    mark = '\ud800'\n    return a - b\n```\n",
        "```python\n" + head.format("multiply") + "    return '\\ud800'\n```\n",
        "```python\n" + head.format("larger") + "    raise ValueError('\\ud800')\n```\n",
    ]
    rows = [{"task_id": f"HumanEval/{number}", "text": text} for number, text in enumerate(texts)]
    answers = write_lines(tmp_path / "a.jsonl", rows)
    run([Candidate(label="given", samples={"": answers})], tmp_path / "out", problems)
    found = read_lines(tmp_path / "out" / "given" / "humaneval+" / "results.jsonl")
    assert [row["status"] for row in found] == ["passed", "error", "failed", "error"]
    assert [row["text"] for row in found] == texts
    whole = json.loads((tmp_path / "out" / "given" / "humaneval+" / "eval_results.json").read_text())
    assert "mark = '\ud800'" in whole["eval"]["HumanEval/1"][0]["solution"]
    model = ScriptedModel(lambda prompt, sampling, seed: "    return '\ud800'\n")
    for _ in range(2):  # the second call reads the file of the first
        run([Candidate(label="asked", mode="completion", model=model)], tmp_path / "out", problems)
    _, *samples = read_lines(tmp_path / "out" / "asked" / "humaneval+" / "samples.jsonl")
    assert [row["text"] for row in samples] == ["    return '\ud800'\n"] * len(TASKS)


def test_answers_without_code_have_a_column_and_a_command(tmp_path: Path, problems: Path) -> None:
    """Their share stands in every table; `show` prints them, whatever status their failure has."""
    rows = [{"task_id": f"HumanEval/{number}", "text": "I would rather not."} for number in range(3)]
    rows.append({"task_id": "HumanEval/3", "text": "```python\ndef larger(a, b):\n    return max(a, b)\n```"})
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    evaluation = run([Candidate(label="m", samples={"humaneval": answers})], tmp_path / "out", problems)
    assert no_code_share(evaluation.scores, "m") == "75.0 %"
    for name in ("scores.md", "scores.html"):
        assert "75.0 %" in (tmp_path / "out" / name).read_text("utf-8")
    shown = call("show", str(tmp_path / "out"), "--reason", "no_code", "--sample", "2").stdout
    assert shown.count("I would rather not.") == 2
    for wrong, hint in (("no_cod", '; did you mean "no_code"?'), ("kept", "")):
        refused = call("show", str(tmp_path / "out"), "--reason", wrong)
        said = f'"{wrong}"{hint} (there are error 3, passed 1; of these hold no code: no_code 3)'
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr


def test_show_prints_the_scores_of_an_evaluation(tmp_path: Path, problems: Path) -> None:
    """The page as it was written, and the command that shows answers; or the scores as JSON."""
    out = tmp_path / "out"
    run([Candidate(label="m", model=ScriptedModel(answer_all))], out, problems)
    shown = call("show", str(out)).stdout
    assert shown.startswith((out / "scores.md").read_text("utf-8").rstrip())
    assert f"selfcodealign show {out} --reason failed --sample 3" in shown
    assert json.loads(call("show", str(out), "--json").stdout) == json.loads((out / "scores.json").read_text("utf-8"))


def test_the_chat_template_of_a_tokenizer_is_used_where_there_is_one(tmp_path: Path) -> None:
    """A tuned model is asked in its own template, without a second begin token; others in the plain format."""
    from tokenizers import Tokenizer, models, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2}, unk_token="a"))
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(tmp_path / "plain")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "chat")
    render, which = open_chat_format(str(tmp_path / "chat"))
    assert (render("Do it.", "```python"), which) == (
        "<user>Do it.<assistant>```python",
        "chat template of its tokenizer",
    )
    render, which = open_chat_format(str(tmp_path / "plain"))
    assert render("Do it.", "") == "### Instruction\nDo it.\n\n### Response\n"
    assert "no chat template" in which


def test_two_models_need_two_names(tmp_path: Path, problems: Path) -> None:
    """Their files would overwrite each other's."""
    models = [Candidate(label="a b", model=ScriptedModel([])), Candidate(label="a/b", model=ScriptedModel([]))]
    with pytest.raises(BenchmarkError, match="two models are called"):
        run(models, tmp_path / "out", problems)


def test_recorded_answers_get_the_official_verdicts(tmp_path: Path) -> None:
    """A dozen tasks of each recorded file, status by status as `evalplus` gave them (all: bench/evaluation.py)."""
    for name, version, recorded in (
        ("humaneval", "humanevalplus/HumanEvalPlus-v0.1.9.jsonl.gz", "evalplus-Llama-3.2-3B-Instruct-humaneval"),
        ("mbpp", "mbppplus/MbppPlus-v0.1.0.jsonl.gz", "evalplus-Llama-3.2-3B-Instruct-mbpp"),
    ):
        official = json.loads(find_shared(f"recorded/{recorded}_eval_results.json").read_text())
        given = Candidate(label="llama", samples={"": find_shared(f"recorded/{recorded}.jsonl")})
        out = tmp_path / name
        run([given], out, find_shared(version), [f"{name}+"], limit=12)
        ours = json.loads((out / "llama" / f"{name}+" / "eval_results.json").read_text())
        assert ours["hash"] == official["hash"]
        for task, (entry,) in ours["eval"].items():
            wanted = official["eval"][task][0]
            for suite in ("base_status", "plus_status"):
                assert (entry[suite] == "pass") == (wanted[suite] == "pass"), (task, suite, entry, wanted)


class Failing(ScriptedModel):
    """Refuses one task."""

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        if "def add" in prompt:
            raise RequestFailed("it refuses the request (400): bad token", "model_refused")
        return await super().complete(prompt, sampling, seed=seed)


def test_a_request_that_fails_is_an_answer_without_code_and_is_said(tmp_path: Path, problems: Path) -> None:
    """It counts as failed, with its reason in the results and a note under the table; a second call asks nothing."""
    for _ in range(2):
        evaluation = run([Candidate(label="m", model=Failing(answer_all))], tmp_path / "out", problems)
        assert score_of(evaluation, "m", "humaneval+") == 0.75
        said = (
            "m gave no answer to 1 of 4 requests of humaneval+ (model_refused 1; first message: it refuses the request"
        )
        assert any(note.startswith(said) for note in evaluation.notes)
    rows = read_lines(tmp_path / "out" / "m" / "humaneval+" / "results.jsonl")
    (failed,) = [row for row in rows if row["finish_reason"] == "model_refused"]
    assert failed["detail"] == "it refuses the request (400): bad token"
    assert failed["status"] not in ("passed", "not_judged")


class Narrow(ScriptedModel):
    """Has no room for prompts with `too_long` in them."""

    too_long = ""

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        if self.too_long in prompt:
            raise PromptTooLong("the prompt has 900 tokens, the model's context 512")
        return await super().complete(prompt, sampling, seed=seed)


def test_prompts_that_do_not_fit_are_an_error_or_a_sentence(tmp_path: Path, problems: Path) -> None:
    """All: nothing is scored, and the next call may ask otherwise. Some: they count as failed, and are counted."""
    narrow = Narrow(answer_all)
    message = (
        r"no prompt of humaneval\+ fits into m, asked by completion \(the prompt has 900 .*\): give another --mode or"
    )
    with pytest.raises(BenchmarkError, match=message):
        run([Candidate(label="m", mode="completion", model=narrow)], tmp_path / "out", problems)
    narrow.too_long = "def add"
    evaluation = run([Candidate(label="m", model=narrow)], tmp_path / "out", problems)
    assert score_of(evaluation, "m", "humaneval+") == 0.75
    assert any("no answer to 1 of 4 requests of humaneval+ (prompt_too_long 1" in note for note in evaluation.notes)


def test_answers_to_other_prompts_are_refused_before_any_model_is_asked(tmp_path: Path, problems: Path) -> None:
    """The second model's folder holds answers in another mode: the first is not asked either."""
    out = tmp_path / "out"
    run([Candidate(label="b", mode="completion", model=ScriptedModel(answer_all))], out, problems)
    first = ScriptedModel(answer_all)
    again = [Candidate(label="a", model=first), Candidate(label="b", model=ScriptedModel(answer_all))]
    with pytest.raises(BenchmarkError, match=r"mode was 'completion', is 'chat', other prompts\): give another --out"):
        run(again, out, problems)
    assert first.calls == 0
