"""The corpus: documents in the layout of the package's prompts, each with one to five examples of one kind.

About two in five solutions are wrong on purpose, as in real code; tests are never wrong (`Mistakes` has other shares).
No task of a held-out composition and no held-out function appears.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from selfcodealign.generation.few_shot_file import lay_out_properties
from selfcodealign.generation.prompts import EXAMPLE_HEADING, section
from tiny.families import GENERATORS
from tiny.labels import label_code
from tiny.snippets import Function, cut, draw_concepts, read_functions, weigh
from tiny.tasks import Mistakes, Task, choose_asserts, draw_solution, exchange_values, is_held_out, keep_wrong
from tiny.wording import write_instruction

WINDOW = 384
# Share of documents by kind. By tokens, about 61 % responses, 12 % instructions, 26 % concepts, 1 % plain code.
KINDS = {"responses": 0.58, "instructions": 0.11, "concepts": 0.28, "plain": 0.03}
USUAL = Mistakes()
EXAMPLES = {"responses": (2, 3), "instructions": (3, 6), "concepts": (2, 3)}


def draw_task(rng: random.Random, accept: Callable[[Sequence[str]], bool]) -> Task:
    """Draw a task with an accepted key, its verified wrong versions, and two asserts in `extra["asserts"]`."""
    generators, weights = zip(*GENERATORS, strict=True)
    while True:
        task = rng.choices(generators, weights)[0](rng)
        if not accept(task.key):
            continue
        task.wrong = task.wrong[:3]
        keep_wrong(task)
        try:
            task.extra["asserts"] = choose_asserts(task, rng, tries=4)
        except LookupError:  # with these constants no two asserts have different values
            continue
        return task


def fence(code: str) -> str:
    return f"```python\n{code}\n```"


class Corpus:
    """An endless stream of documents, the same for the same seed, Python and installed packages."""

    def __init__(
        self, seed: int, functions: list[Function] | None = None, pool: int = 1500, mistakes: Mistakes = USUAL
    ) -> None:
        self.mistakes = mistakes
        self.rng = random.Random(f"corpus {seed}")
        known = functions if functions is not None else all_functions()
        self.functions = [function for function in known if not function.held_out]
        self.weights = weigh(self.functions)
        self.labels, self.frequencies = zip(*sorted((label, 1 / w) for label, w in self.weights.items()), strict=True)
        self.pool: list[Task] = []
        self.pool_size = pool

    def draw_document(self) -> str:
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "plain":
            return self.draw_plain()
        low, high = EXAMPLES[kind]
        examples = [getattr(self, f"draw_{kind}")() for _ in range(self.rng.randint(low, high))]
        return "\n\n".join(f"{EXAMPLE_HEADING} {number}\n{text}" for number, text in enumerate(examples, 1))

    def draw_task(self) -> Task:
        """Draw a task from a pool whose tasks are replaced one by one; each serves about three examples."""
        if len(self.pool) < self.pool_size:
            self.pool.append(draw_task(self.rng, lambda key: not is_held_out(key)))
            return self.pool[-1]
        place = self.rng.randrange(self.pool_size)
        if self.rng.random() < 0.33:
            self.pool[place] = draw_task(self.rng, lambda key: not is_held_out(key))
        return self.pool[place]

    def draw_responses(self) -> str:
        task = self.draw_task()
        solution, _ = draw_solution(task, self.rng, self.mistakes)
        asserts = task.extra["asserts"]
        if self.mistakes.tests and self.rng.random() < self.mistakes.tests:
            asserts = exchange_values(asserts)
        return "\n".join((
            section("instruction", write_instruction(task, self.rng)),
            section("response", fence(solution)),
            section("tests", fence("\n".join(asserts))),
        ))  # fmt: skip

    def draw_instructions(self) -> str:
        task = self.draw_task()
        seen = list(label_code(task.code))
        concepts = self.rng.sample(seen, min(len(seen), self.rng.randint(1, 3)))
        concepts += self.rng.choices(self.labels, self.frequencies, k=self.rng.randint(0, 4))
        concepts = list(dict.fromkeys(concepts))
        self.rng.shuffle(concepts)
        properties = lay_out_properties(task.category, "Python", task.difficulty, concepts)
        return "\n".join((
            section("properties", properties),
            section("instruction", write_instruction(task, self.rng)),
        ))  # fmt: skip

    def draw_concepts(self) -> str:
        while True:
            function = self.rng.choice(self.functions)
            shown = cut(function.text, self.rng.randint(5, 16), self.rng.randint(160, 480))
            concepts = draw_concepts(shown, function.labels, self.rng, self.weights)
            if concepts:
                return "\n".join((section("snippet", shown), section("concepts", ", ".join(concepts))))

    def draw_plain(self) -> str:
        """Draw a solution as in a source file, described by its docstring."""
        task = self.draw_task()
        solution, _ = draw_solution(task, self.rng, self.mistakes)
        return solution if task.category == "class" else document(solution, task.description)


def document(code: str, description: str) -> str:
    """Put a docstring under the function's header."""
    head, separator, body = code.partition("):\n")
    return f'{head}{separator}    """{description[0].upper()}{description[1:]}."""\n{body}'


@lru_cache(maxsize=1)
def all_functions() -> list[Function]:
    return read_functions()


def make_windows(
    seed: int, tokens: int, tokenizer: Any, functions: list[Function] | None = None, mistakes: Mistakes = USUAL
) -> Any:
    """Make token windows (uint16 array of shape [n, WINDOW + 1]) of a new part of the corpus, at least `tokens` tokens.

    Every window begins with a document; its last document is cut at the window's end.
    """
    import numpy

    corpus = Corpus(seed, functions, mistakes=mistakes)
    end = tokenizer.token_to_id(END)
    windows: list[list[int]] = []
    window: list[int] = []
    while len(windows) * WINDOW < tokens:
        texts = [corpus.draw_document() for _ in range(256)]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            window += [*encoding.ids, end]
            if len(window) > WINDOW:
                windows.append(window[: WINDOW + 1])
                window = []
    return numpy.array(windows, dtype=numpy.uint16)


END = "<|end|>"
