"""The world is sound: references are right, wrong versions are wrong, tests are true, held-out tasks stay out."""

from __future__ import annotations

import random
import re

import pytest

from tests.support.world import run_assert
from tiny.corpus import Corpus, draw_task
from tiny.families import GENERATORS
from tiny.snippets import read_text
from tiny.tasks import (
    HELD_OUT_PERCENT,
    Task,
    call_of,
    choose_asserts,
    evaluate,
    is_development,
    is_held_out,
    keep_wrong,
    passes_hidden,
    run_code,
    same,
)

FUNCTIONS = read_text(
    '''
import re

def find_words(text, minimum=2):
    """Long words."""
    return [word for word in re.findall("[a-z]+", text) if len(word) >= minimum]

def merge(left, right):
    result = dict(left)
    for key, value in right.items():
        result.setdefault(key, value)
    return result
'''
)


def draw(generator_place: int, count: int) -> list[Task]:
    rng = random.Random(generator_place)
    tasks = [GENERATORS[generator_place][0](rng) for _ in range(count)]
    for task in tasks:
        keep_wrong(task)
    return tasks


@pytest.mark.parametrize("place", range(len(GENERATORS)))
def test_references_are_right_and_mistakes_are_noticed(place: int) -> None:
    """Every reference passes every assert; every kept wrong version fails a hidden case; most tasks have one."""
    tasks = draw(place, 40)
    for task in tasks:
        assert passes_hidden(task, task.code)
        scope = run_code(task.code)
        for arguments, expected in task.asserts:
            assert same(evaluate(scope, call_of(task, arguments)), evaluate({}, expected)), (
                task.code,
                arguments,
                expected,
            )
        assert not any(passes_hidden(task, code) for code in task.wrong)
    assert sum(bool(task.wrong) for task in tasks) >= 0.9 * len(tasks)


def test_two_asserts_tell_the_function_from_a_constant() -> None:
    """The shown asserts expect two different values, hold for the reference, and fail for most wrong versions."""
    rng = random.Random(5)
    noticed = []
    for _ in range(150):
        task = draw_task(rng, lambda key: True)
        asserts = task.extra["asserts"]
        assert len(asserts) == 2
        assert not same(*(evaluate({}, text.rpartition(" == ")[2]) for text in asserts))
        assert all(run_assert(task.code, text) for text in asserts)
        noticed += [not all(run_assert(code, text) for text in asserts) for code in task.wrong]
    assert sum(noticed) > 0.85 * len(noticed)


def test_no_two_different_values_is_said() -> None:
    """A task whose asserts all expect one value has no tests, which raises an error for the caller."""
    task = draw(1, 1)[0]
    task.asserts = [task.asserts[0]] * 4
    with pytest.raises(LookupError, match="different values"):
        choose_asserts(task, random.Random(0))


def test_held_out_keys_never_reach_the_corpus() -> None:
    """Every task of the corpus has a key that is not held out; the held-out share is as intended; splits differ."""
    corpus = Corpus(3, FUNCTIONS, pool=200)
    for _ in range(400):
        assert not is_held_out(corpus.draw_task().key)
    rng = random.Random(1)
    keys = {GENERATORS[0][0](rng).key for _ in range(900)}
    held_out = {key for key in keys if is_held_out(key)}
    assert 0.5 < len(held_out) / len(keys) / (HELD_OUT_PERCENT / 100) < 1.5
    assert 0.15 < sum(map(is_development, held_out)) / len(held_out) < 0.6
    assert not any(is_development(key) for key in keys - held_out)


def test_the_corpus_is_the_same_for_the_same_seed() -> None:
    """Equal seeds give equal documents, other seeds give others."""
    one, two, other = Corpus(1, FUNCTIONS), Corpus(1, FUNCTIONS), Corpus(2, FUNCTIONS)
    texts = [one.draw_document() for _ in range(60)]
    assert texts == [two.draw_document() for _ in range(60)]
    assert texts != [other.draw_document() for _ in range(60)]


def test_about_two_in_five_solutions_are_wrong() -> None:
    """The shares of right and wrong programs in the corpus are those in its docstring."""
    corpus = Corpus(4, FUNCTIONS, pool=300)
    wrong = 0
    for _ in range(500):
        document = corpus.draw_responses()
        code = re.search(r"<response>\n```python\n(.*?)\n```", document, re.S)
        tests = re.search(r"<tests>\n```python\n(.*?)\n```", document, re.S)
        assert code
        assert tests
        wrong += not all(run_assert(code[1], line) for line in tests[1].split("\n"))
    assert 0.3 < wrong / 500 < 0.5
