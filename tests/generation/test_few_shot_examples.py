"""The worked examples of `python.md` are correct, varied, and original."""

from __future__ import annotations

import ast
import asyncio
import doctest
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.generation.draws import draw_examples
from selfcodealign.generation.few_shot_file import PROMPT_TAGS, WorkedExample, load_few_shot, split_tags
from selfcodealign.generation.prompts import lay_out
from selfcodealign.models.room import TOKEN_CHARACTERS
from selfcodealign.sandbox import Program, Sandbox, Verdict
from selfcodealign.settings import MOST_TOKENS, SelectionSettings
from tests.support.places import DATA

FEW_SHOT = load_few_shot("python")
by_example = pytest.mark.parametrize("example", FEW_SHOT.examples, ids=lambda example: example.name)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """The sandbox's verdict on each example's response and tests."""

    async def run() -> list[Verdict]:
        async with Sandbox() as sandbox:
            programs = [Program(response=example.response, tests=example.tests) for example in FEW_SHOT.examples]
            return await asyncio.gather(*(sandbox.run(program) for program in programs))

    return {example.name: verdict for example, verdict in zip(FEW_SHOT.examples, asyncio.run(run()), strict=True)}


@by_example
def test_response_passes_its_own_tests(example: WorkedExample, verdicts: dict[str, Verdict]):
    """Every response passes in the sandbox, and its tests kill at least four of five mutants."""
    verdict = verdicts[example.name]
    assert verdict.passed, f"{verdict.status} in line {verdict.line}: {verdict.error_type} {verdict.message}"
    assert verdict.mutation_score is not None
    assert verdict.mutation_score >= 0.8


def code_of(markdown: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", markdown, re.DOTALL | re.MULTILINE)
    return code


@by_example
def test_example_is_what_its_stages_are_to_write(example: WorkedExample):
    """Each example passes the filters for the model's texts with a margin."""
    settings = SelectionSettings()
    assert 3 <= len(example.concepts) <= 6
    assert len(example.instruction.split()) <= 150 < settings.max_instruction_words
    answer = (example.response + example.tests).lower()
    assert not [word for word in settings.unfinished_words if word in answer]
    assert not example.response.startswith("```"), "an explanation comes first"
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code_of(example.tests)))) >= 5
    assert "__main__" not in answer, "a main guard would run the program within its tests"


def run_snippet(snippet: str) -> None:
    """Run a snippet and the examples in its docstring."""
    names: dict[str, Any] = {}
    exec(compile(snippet, "<snippet>", "exec"), names)
    function = ast.parse(snippet).body[-1]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    docstring = ast.get_docstring(function) or ""
    shown = doctest.DocTestParser().get_doctest(docstring, names, "snippet", None, None)
    assert len(shown.examples) == docstring.count(">>> ")
    assert doctest.DocTestRunner(verbose=False).run(shown).failed == 0


@by_example
def test_snippet_is_a_documented_function_that_stands_alone(example: WorkedExample):
    """Snippets look like seeds: imports, then one documented top-level function with arguments and a result."""
    *imports, function = ast.parse(example.snippet).body
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in imports)
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    assert len(ast.get_docstring(function) or "") > 40
    assert function.args.args or function.args.vararg
    assert any(isinstance(node, ast.Return) and node.value for node in ast.walk(function))
    run_snippet(example.snippet)


@by_example
def test_task_is_not_the_snippet_again(example: WorkedExample):
    """The response differs from the snippet in name and code: only the concepts are shared."""
    function = ast.parse(example.snippet).body[-1]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    assert function.name not in example.response + example.instruction + example.tests
    assert not words_shared(example.snippet, [code_of(example.response)])


def test_examples_are_many_and_spread():
    """At least 24 examples; functions twice as often as classes and programs; every difficulty in every category."""
    examples = FEW_SHOT.examples
    assert len(examples) >= 24
    categories = Counter(example.category for example in examples)
    assert categories["function"] >= 12
    assert min(categories["class"], categories["program"]) >= 6
    difficulties = Counter(example.difficulty for example in examples)
    assert min(difficulties.values()) >= 7
    assert len({(example.category, example.difficulty) for example in examples}) == 9
    assert {example.language for example in examples} == {"Python"}


LIBRARIES = (
    "argparse asyncio csv json sqlite3 struct tempfile pathlib re datetime itertools heapq numpy pandas dataclasses"
)


@pytest.mark.parametrize("library", LIBRARIES.split())
def test_libraries_are_spread(library):
    """The examples use the libraries of ordinary Python code."""
    code = "\n".join(example.snippet + "\n" + example.response + "\n" + example.tests for example in FEW_SHOT.examples)
    assert re.search(rf"^(import|from) {library}\b", code, re.MULTILINE)


def test_concepts_are_varied():
    """No concept occurs so often that a model would repeat it."""
    counts = Counter(concept.lower() for example in FEW_SHOT.examples for concept in example.concepts)
    assert len(counts) >= 90
    assert max(counts.values()) <= 4


def test_judgements_are_balanced():
    """Good and bad docstrings are equally many, each on a function that runs."""
    counts = Counter(judgement.judgement for judgement in FEW_SHOT.judgements)
    assert counts["yes"] == counts["no"] >= 4
    for judgement in FEW_SHOT.judgements:
        function = ast.parse(judgement.snippet).body[-1]
        assert isinstance(function, ast.FunctionDef)
        assert ast.get_docstring(function)
        run_snippet(judgement.snippet)


def test_every_stage_lays_out_a_prompt_of_moderate_length():
    """All stages find introduction and examples, and 8 worked examples leave room in a 4k-token context."""
    for stage, tags in PROMPT_TAGS.items():
        if stage == "responses-explained":
            continue
        assert FEW_SHOT.introductions[stage]
        count = {"edits": 2, "forward": 2, "backward": 2}.get(stage, 1 if "response" in tags else 8)
        drawn = draw_examples(FEW_SHOT.pool(stage, count), count, stage, "a row", 64)
        shown, wanted = split_tags(stage)
        assert (*shown, *wanted) == tags
        prompt = lay_out(FEW_SHOT.introductions[stage], drawn, dict.fromkeys(shown, "x"), wanted)
        assert prompt.endswith(f"<{shown[-1]}>\nx\n</{shown[-1]}>\n<{wanted[0]}>\n")
        assert len(prompt) / TOKEN_CHARACTERS < 4096 - MOST_TOKENS["instructions"]


# --- answers of four parts

EXPLAINED = load_few_shot("starcoder2-instruct")


def test_sixteen_functions_have_reasoning_and_explanation(verdicts: dict[str, Verdict]):
    """Their tasks, responses and tests are those of python.md, so that what was run there is what is shown; all other
    prompts find what they need."""
    known = {example.name: example for example in FEW_SHOT.examples}
    assert len(EXPLAINED.pool("responses-explained", 16)) == len(EXPLAINED.examples) == 16
    for example in EXPLAINED.examples:
        same = known[example.name]
        assert (example.response, example.tests) == (same.response, same.tests)
        assert (example.instruction, example.snippet, example.category) == (same.instruction, same.snippet, "function")
        assert verdicts[example.name].passed
    assert all(EXPLAINED.introductions[kind] for kind in ("concepts", "instructions", "responses-explained", "judge"))
    assert EXPLAINED.pool("judge", 7)


def test_reasoning_and_explanation_are_prose_of_their_kind():
    """No code blocks, of moderate length, each its own; no sentence of the response is said again."""
    texts = [text for one in EXPLAINED.examples for text in (one.reasoning, one.explanation)]
    assert len(set(texts)) == 32
    assert not [text for text in texts if "```" in text]
    for one in EXPLAINED.examples:
        assert 60 <= len(one.reasoning.split()) <= 160
        assert 20 <= len(one.explanation.split()) <= 90
        assert not words_shared(one.reasoning + one.explanation, [one.response, one.instruction])


def test_prompts_of_all_parts_have_a_moderate_length():
    """One worked example, as the recipe shows, leaves room in a 4k-token context."""
    tags = PROMPT_TAGS["responses-explained"]
    for one in EXPLAINED.pool("responses-explained"):
        prompt = lay_out(EXPLAINED.introductions["responses-explained"], [one], {tags[0]: "x"}, tags[1:])
        assert len(prompt) / TOKEN_CHARACTERS < 4096 - MOST_TOKENS["responses"]


async def test_the_tests_of_edits_pass_after_the_change_and_fail_before():
    """At least six; the tests kill most mutants of the changed program."""
    edits = FEW_SHOT.others["Edit"]
    assert len(edits) >= 6
    async with Sandbox() as sandbox:
        for edit in edits:
            after = await sandbox.run(Program(edit["after"], edit["tests"]))
            assert after.passed, f"{edit['subject']}: {after.status} {after.message}"
            assert after.mutation_score is not None
            assert after.mutation_score >= 0.75
            before = await sandbox.run(Program(edit["before"], edit["tests"], mutation_testing=False, split=False))
            assert before.status in ("failed", "error"), f"{edit['subject']}: {before.status}"


async def test_the_values_of_monologues_are_those_that_their_calls_return():
    """At least four; forward and backward both come to the call and the value that stand above them."""
    monologues = FEW_SHOT.others["Monologue"]
    assert len(monologues) >= 4
    async with Sandbox() as sandbox:
        for one in monologues:
            tests = f"assert {one['call']} == {one['value']}"
            verdict = await sandbox.run(Program(one["program"], tests))
            assert verdict.passed, f"{one['call']}: {verdict.status} {verdict.message}"
            assert repr(ast.literal_eval(one["value"])) == one["value"]


# --- our own writing -------------------------------------------------------------------------------------------------

BENCHMARKS = ("humaneval", "humanevalplus", "mbpp", "mbppplus", "evoeval", "classeval", "canitedit")
WORDS = 10


def words_shared(text: str, others: list[str], count: int = WORDS) -> list[str]:
    """The runs of `count` words that `text` shares with any of the others."""
    own = runs_of_words(text, count)
    return sorted(set().union(*(own & runs_of_words(other, count) for other in others)))


def runs_of_words(text: str, count: int = WORDS) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[start : start + count]) for start in range(len(words) - count + 1)}


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.name:
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
    else:
        yield from json.loads(text)


def strings_in(value: object) -> Iterator[str]:
    """Return all texts of a record except test inputs, which are megabytes of data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("base_input", "plus_input", "inputs"):
                yield from strings_in(item)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_nothing_is_taken_from_a_benchmark(benchmark):
    """No ten consecutive words and no line of 60 characters occur in a benchmark."""
    folder = DATA / benchmark
    if not folder.is_dir():
        pytest.skip(f"no benchmark data in {folder}")
    files = [path for path in folder.iterdir() if re.search(r"\.jsonl?(\.gz)?$", path.name)]
    texts = [text for path in files for record in read_records(path) for text in strings_in(record)]
    assert len(texts) > 100

    parts = (*FEW_SHOT.examples, *EXPLAINED.examples, *FEW_SHOT.judgements)
    ours = [text for part in parts for text in part.sections().values()]
    own_runs = set().union(*(runs_of_words(text) for text in ours))
    own_lines = {line.strip() for text in ours for line in text.split("\n") if len(line.strip()) >= 60}
    assert len(own_runs) > 5000
    assert len(own_lines) > 300
    for text in texts:
        assert not own_runs & runs_of_words(text)
        assert not own_lines & {line.strip() for line in text.split("\n")}
