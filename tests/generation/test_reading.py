"""Reading the sections of an answer: what is accepted without its closing tag, and what is said to be missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfcodealign import Completion, Sampling, ScriptedModel
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.question import Answer, Question
from selfcodealign.generation.reading import read_sections

WANTED = ("response", "tests")
CODE = "```python\ndef f():\n    return 1\n```"
TESTS = "```python\nassert f() == 1\n```"


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ("", "</response> and <tests> are missing; the model wrote nothing"),
        ("I cannot.", '</response> and <tests> are missing; the model ended the text after "I cannot."'),
        (f"{CODE}\n</response>\n", '<tests> is missing; the model ended the text after "</response>"'),
        ("answer\n</response>\n<tests>", '<tests> is empty; the model ended the text after "<tests>"'),
        (
            "</response>\n<tests>\nassert True",
            '<response> is empty; the model ended the text after "assert True"',
        ),
        (
            "answer\n</response>\nchatter\n<tests>\nassert True",
            'text stands between </response> and <tests>; the model ended the text after "assert True"',
        ),
        (
            "```python\ndef f():\n<tests>\nassert True",
            '</response> is missing; the model ended the text after "assert True"',
        ),
    ],
)
def test_what_is_missing_is_named(completion: str, problem: str) -> None:
    """A section that is missing, empty, preceded by other text or open inside of its code makes an answer unusable."""
    reading = read_sections(completion, WANTED)
    assert (reading.sections, reading.problem) == ({}, problem)


def test_the_last_closing_tag_may_be_missing_or_followed_by_text() -> None:
    """Engines cut stop strings; without stop strings a model continues."""
    for end in ("", f"</tests>\n## Example 9\n{CODE}"):
        reading = read_sections(f"{CODE}\n</response>\n<tests>\n{TESTS}\n{end}", WANTED)
        assert reading.sections == {"response": CODE, "tests": TESTS}
        assert reading.repairs == ()


def test_a_complete_section_without_its_closing_tag_is_read() -> None:
    """The opening tag of the next section ends it, and the repair is named."""
    reading = read_sections(f"{CODE}\n\n<tests>\n{TESTS}\n", WANTED)
    assert reading.sections == {"response": CODE, "tests": TESTS}
    assert reading.repairs == ("</response> added",)
    inside = read_sections("Print `<tests>`.\n</response>\n<tests>\nassert True", WANTED)
    assert (inside.sections["response"], inside.repairs) == ("Print `<tests>`.", ())


async def ask(completion: Completion | str, max_tokens: int = 500) -> tuple[Answer, list[Sampling]]:
    seen: list[Sampling] = []

    def script(prompt: str, sampling: Sampling, seed: int) -> Completion | str:
        seen.append(sampling)
        return completion

    sampling = Sampling(max_tokens=max_tokens)
    question = Question(ScriptedModel(script), load_few_shot("tiny"), "responses", WANTED, 1, 0, sampling, 0)
    return await question.ask("prompt", "row"), seen


async def test_a_text_that_was_cut_is_never_accepted() -> None:
    """Complete sections do not save it: what follows is unknown."""
    answer, _ = await ask(Completion(f"{CODE}\n</response>\n<tests>\n{TESTS}", "length"))
    assert (answer.problem, answer.sections) == ("truncated", {})


@pytest.mark.parametrize("ended", ["loop", "length"])
async def test_a_text_in_a_loop_is_named(ended: str) -> None:
    """Whether the engine ended it, or has written it to the limit; the engine is asked to end it."""
    answer, seen = await ask(Completion("The function returns the sum of the list. " * 20, ended))  # type: ignore[arg-type]
    assert answer.problem == "looping"
    assert answer.detail.startswith("The function returns")
    assert seen[0].stop_loops
    assert seen[0].stop == ("</tests>", "\n## Example")


async def test_an_unparsed_answer_says_what_is_missing_and_holds_the_text() -> None:
    """The first line of the detail is the problem, the text follows."""
    answer, _ = await ask("I do not know.\nSorry.")
    assert answer.problem == "unparsed"
    assert answer.detail == (
        '</response> and <tests> are missing; the model ended the text after "Sorry."\nI do not know.\nSorry.'
    )


@pytest.mark.parametrize(("most", "estimated", "asked"), [(5000, True, None), (20, True, 20), (5000, False, 5000)])
async def test_the_worked_examples_tell_how_long_an_answer_may_be(
    most: int, estimated: bool, asked: int | None
) -> None:
    """Twice the longest of them, in estimated tokens, up to the bound; the digest stays the same."""
    seen: list[Sampling] = []

    def script(prompt: str, sampling: Sampling, seed: int) -> str:
        seen.append(sampling)
        return "Sort it."

    few_shot, kind = load_few_shot("python"), Sampling(max_tokens=most)
    question = Question(
        ScriptedModel(script), few_shot, "instructions", ("instruction",), 1, 0, kind, 0, estimated=estimated
    )
    await question.ask("prompt", "row")
    longest = max(len(example.instruction) for example in few_shot.examples)
    found = seen[0].max_tokens
    assert found == asked or (asked is None and 2 * longest / 3 <= found <= 2 * longest / 3 + 20)
    assert question.digest == replace(question, estimated=False, ends=()).digest


@pytest.mark.parametrize(
    "text",
    [
        "<response>\nprint(1)\n</response>\n<tests>\nassert True\n",
        "Sure, here is the answer:\n\n<response>\nprint(1)\n</response>\n<tests>\nassert True\n",
        "Certainly!\nprint(1)\n</response>\n<tests>\nassert True\n",
        "```xml\n<response>\nprint(1)\n</response>\n<tests>\nassert True\n```\n",
        "## Example 9\n<instruction>\nGo.\n</instruction>\n<response>\nprint(1)\n</response>\n<tests>\nassert True\n",
    ],
    ids=["opened again", "greeting", "greeting without a tag", "fence around everything", "shown again"],
)
def test_what_chat_models_write_in_front_is_left_out(text: str):
    """The sections are those of the same answer without it, and the repair is named."""
    reading = read_sections(text, ["response", "tests"])
    assert reading.sections == {"response": "print(1)", "tests": "assert True"}
    assert reading.repairs == ("text before <response> left out",)
