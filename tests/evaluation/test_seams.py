"""No prompt ends in the middle of a token: every benchmark, mode and stage, for the known ways to cut a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from tokenizers import Tokenizer

from selfcodealign.benchmarks import MODES, Benchmark, Mode, Problem
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.problem_files import load_rows
from selfcodealign.evaluation.asking import Asking, plain_chat
from selfcodealign.evaluation.seams import count_seams, has_seam, join_continuation, note_seams, strip_open_end
from selfcodealign.generation.few_shot_file import PROMPT_TAGS, load_few_shot, split_tags
from selfcodealign.generation.prompts import lay_out
from selfcodealign.models.room import find_tokenizer
from selfcodealign.models.scripted import ScriptedModel
from selfcodealign.settings import EvaluateSettings, ModelSettings
from tests.support.benchmark_rows import evalplus_row
from tests.support.places import DATA
from tests.support.tokenizers import CUTS, train_tokenizer

#: Published problems, where they are here; tiny-eval always is.
FILES = {
    "tiny-eval": None,
    "humaneval": "humaneval/HumanEval.jsonl.gz",
    "mbpp": "mbpp/sanitized-mbpp.json",
    "canitedit": "canitedit/CanItEdit.jsonl",
    "classeval": "classeval/ClassEval_data.json.gz",
    "evoeval-difficult": "evoeval/EvoEval_difficult.jsonl.gz",
    "evoeval-subtle": "evoeval/EvoEval_subtle.jsonl.gz",
}
#: Where a body follows the prompt, by the way to cut: the share of prompts that end in a seam, stripped and unstripped.
BODY = {"gpt-2": (0.0, 1.0), "gpt-4": (1.0, 0.0), "lines": (0.0, 0.0)}


def cut_by(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


@lru_cache
def read(name: str, count: int = 4) -> tuple[Benchmark[Any], list[Problem]]:
    benchmark, path = find_benchmark(name), FILES[name]
    if path is not None and not (DATA / path).exists():
        pytest.skip(f"needs {path} of the real data in ../shared, which is not here")
    rows = load_rows(name, benchmark.source, DATA / path if path else None).rows
    return benchmark, benchmark.problems(rows[:count])


def ask(mode: Mode) -> Asking:
    few_shot = load_few_shot("python")
    model = ScriptedModel([])
    return Asking(model=model, mode=mode, chat=plain_chat, few_shot=few_shot, settings=EvaluateSettings())


def count(encode: Callable[[str], list[int]], name: str, mode: Mode) -> tuple[int, int]:
    benchmark, problems = read(name)
    return count_seams(encode, [(problem, ask(mode).lay_out(benchmark, problem)) for problem in problems], mode)


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("name", FILES)
def test_prompts_end_in_a_seam_only_where_no_way_suits_all_tokenizers(name: str, kind: str) -> None:
    """A body after a docstring: stripped for GPT-2's kind, unstripped for GPT-4's. Everything else suits every kind."""
    encode = cut_by(train_tokenizer(kind))
    body = name not in ("mbpp", "canitedit", "classeval")
    for mode in MODES:
        if name == "classeval" and mode.startswith("completion"):
            continue  # it has no text to continue
        seams, known = count(encode, name, mode)
        assert known == (4 if name != "canitedit" else 8)
        expected = BODY[kind][mode == "completion-unstripped"] if body and mode.startswith("completion") else 0.0
        if name == "evoeval-difficult" and mode == "completion-unstripped":
            expected = BODY[kind][0]  # its prompts have no last newline
        assert seams == expected * known, (mode, seams)


@pytest.mark.parametrize("kind", [*CUTS, "embedded"])
@pytest.mark.parametrize("file", ["python", "tiny", "starcoder2-instruct"])
def test_few_shot_prompts_of_every_stage_have_no_seam(file: str, kind: str) -> None:
    """The newline after an opening tag is a token, or the end of one, whatever a section begins with."""
    tokenizer = find_tokenizer(ModelSettings()) if kind == "embedded" else train_tokenizer(kind)
    few_shot = load_few_shot(file)
    kinds = [kind for kind in PROMPT_TAGS if few_shot.pool(kind, 0)]
    assert {"concepts", "instructions", "responses"} <= set(kinds)
    for stage in kinds:
        shown, wanted = split_tags(stage)
        pool = few_shot.pool(stage)
        for example in pool[::8]:
            prompt = lay_out(few_shot.introductions[stage], pool[:2], {tag: example[tag] for tag in shown}, wanted)
            assert not has_seam(cut_by(tokenizer), prompt, example[wanted[0]]), (stage, example)


def test_prompt_and_completion_are_the_program() -> None:
    """Whatever a model writes, the judged program is the text that it saw and its own, character by character."""
    humaneval, (problem,) = find_benchmark("humaneval+"), find_benchmark("humaneval+").problems([evalplus_row()])
    prompt = ask("completion").lay_out(humaneval, problem)
    assert prompt.text == problem.prompt.strip()
    for text in ("\n    return 1\n", "\n\n    return 1", "  # a sum\n    return 1", "\r\n    return 1"):
        assert join_continuation(humaneval, problem, prompt.text, text) == problem.prompt.strip() + text


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ('\n\ndef f():\n    """Doc."""\n    ', '\n\ndef f():\n    """Doc."""'.lstrip("\n")),
        ("def f(a):\n", "def f(a):"),
        ("class A:\n\tx = 1\n\n", "class A:\n\tx = 1"),
        ('"""\nDo it.\n"""\n', '"""\nDo it.\n"""\n'),
        ("## Code After:\n", "## Code After:\n"),
        ("def f():\n    pass", "def f():\n    pass"),
        ("", ""),
    ],
)
def test_only_an_end_before_an_indented_line_is_stripped(prompt: str, asked: str) -> None:
    """Elsewhere a newline is no seam, and official tools keep it."""
    assert strip_open_end(prompt) == asked


def test_the_reader_is_told_which_way_suits_the_tokenizer() -> None:
    """A sentence where the other way has fewer seams, none where both are alike or this way is the better one."""
    counts: dict[Mode, tuple[int, int]] = {"completion": (164, 164), "completion-unstripped": (0, 164)}
    (said,) = note_seams("m", "humaneval", "completion", counts)
    assert said == (
        "164 of 164 prompts of humaneval end in the middle of a token of m's tokenizer, which lowers scores; in mode "
        "completion-unstripped 0 do (--mode, in a recipe evaluate.base_modes)."
    )
    assert not note_seams("m", "humaneval", "completion-unstripped", counts)
