"""Does asking for a missing requirement raise the pass rate of hidden tests? An experiment in the miniature.

    python bench/elicitation.py [--tasks 100]

A task of tiny-eval loses its last clause, and its function gets a name that does not tell it. A scripted user holds the
clause and tells it to anybody who asks about it: a question that shares a word with the clause which the short request
does not have. Four ways to answer: the short request alone; after a question that the embedded model wrote from three
worked questions; after the clause was told in a second turn without being asked (what perfect questions would bring);
the whole task. The hidden tests judge all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from importlib import resources
from typing import NamedTuple

from selfcodealign import Sampling
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.fences import extract_python
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.prompts import lay_out
from selfcodealign.models import Model
from selfcodealign.models.opening import open_model
from selfcodealign.sandbox import Program, Sandbox, Status
from selfcodealign.settings import ModelSettings

QUESTIONS = """Ask one question about what is missing in the request.

<request>
Write a function `double_all(numbers)`: for the number list `numbers`, double each.
</request>
<question>
Shall it return the list, or the sum?
</question>

<request>
Define `starts(words)` to do this: for the word list `words`, keep only words that start with a vowel.
</request>
<question>
Shall it return the words, or their count?
</question>

<request>
Implement `parse(text)`. It should convert `text` to an integer.
</request>
<question>
What shall it return if that fails?
</question>

<request>
{request}
</request>
<question>
"""
_WORD = re.compile(r"[a-z]+")


class Task(NamedTuple):
    """A task and the tests that its answers do not see."""

    instruction: str
    tests: str


def shorten(task: str) -> tuple[str, str] | None:
    """Cut the last clause off a task; None where there is none to cut."""
    found = re.fullmatch(r"(.+?),? (?:and|or) (return .+)", task, re.DOTALL)
    return (found[1].rstrip(",") + ".", found[2]) if found and len(found[1]) > 40 and "Call" not in task else None


def reply(question: str, request: str, clause: str) -> str:
    """What the user says: the clause, to a question about it; else nothing that helps."""
    about = set(_WORD.findall(clause.lower())) - set(_WORD.findall(request.lower())) - {"return", "the", "a", "only"}
    return clause if about & set(_WORD.findall(question.lower())) else ""


def _load_problems() -> list[Task]:
    """Read the packaged problems."""
    rows = resources.files("selfcodealign").joinpath("embedded", "tiny_eval.jsonl").read_text("utf-8").splitlines()
    found = find_benchmark("tiny-eval").problems([json.loads(row) for row in rows])
    return [Task(*(text.replace(one.entry_point, "solve") for text in (one.instruction, one.tests))) for one in found]


async def answer(model: Model, instruction: str) -> str:
    file = load_few_shot("tiny")
    prompt = lay_out(file.introductions["responses"], SHOWN, {"instruction": instruction}, ("response", "tests"))
    text = (await model.complete(prompt, Sampling(0.0, 1.0, 96, stop=("</response>",)), seed=0)).text
    code = extract_python(text) or text
    # The embedded model calls a function by what it does, whatever name it is given.
    names = re.findall(r"^def (\w+)", code, re.MULTILINE)
    return f"{code}\n\nsolve = {names[-1]}\n" if names else code


SHOWN = [
    {"instruction": one.instruction, "response": one.response, "tests": one.tests}
    for one in load_few_shot("tiny").examples[:1]
]


async def main(count: int) -> None:
    problems = [one for one in _load_problems() if shorten(one.instruction)][:count]
    ways: dict[str, list[bool]] = {name: [] for name in ("short", "asked", "told", "whole")}
    helpful = 0
    async with open_model(ModelSettings(name="embedded")) as model, Sandbox() as sandbox:

        async def one(problem: Task) -> tuple[bool, dict[str, bool]]:
            request, clause = shorten(problem.instruction) or ("", "")
            prompt = QUESTIONS.format(request=request)
            asked = (await model.complete(prompt, Sampling(0.0, 1.0, 24, stop=("</question>",)), seed=0)).text
            said = reply(asked, request, clause)
            texts = {
                "short": request,
                "asked": f"{request}\n{said[:1].upper()}{said[1:]}" if said else request,
                "told": f"{request}\n{clause[:1].upper()}{clause[1:]}",
                "whole": problem.instruction,
            }
            codes = dict(
                zip(texts, await asyncio.gather(*(answer(model, text) for text in texts.values())), strict=True)
            )
            programs = [Program(response=code, tests=problem.tests) for code in codes.values()]
            verdicts = await asyncio.gather(*map(sandbox.run, programs))
            return bool(said), {
                name: verdict.status == Status.PASSED for name, verdict in zip(codes, verdicts, strict=True)
            }

        for said, found in await asyncio.gather(*map(one, problems)):
            helpful += said
            for name, passed in found.items():
                ways[name].append(passed)
    print(f"{len(problems)} tasks; {helpful} questions asked for what was missing")
    for name, found in ways.items():
        print(f"{name}: {sum(found)} of {len(found)} pass the hidden tests ({sum(found) / len(found):.0%})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100)
    asyncio.run(main(parser.parse_args().tasks))
