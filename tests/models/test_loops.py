"""Texts that repeat themselves are recognised; code of the standard library is not taken for them."""

from __future__ import annotations

import ast
import base64
import random
import sysconfig
from pathlib import Path

import pytest

from selfcodealign.models.loops import EVERY_TOKENS, repeats

SENTENCE = "The function returns the sum of the numbers in the list. "
PARAGRAPH = " ".join(f"word{number * 7919 % 1000}" for number in range(38))[:300]


@pytest.mark.parametrize(
    "block",
    [
        "a",
        "ab",
        "0, ",
        "\n",
        "    return x\n",
        SENTENCE,
        "- a list\n- of lines\n\nand a line that follows\n",
        PARAGRAPH,
    ],
    ids=lambda block: f"{len(block)} characters",
)
@pytest.mark.parametrize("beyond", [0, 0.3, 0.9])
def test_a_block_four_times_is_a_loop_wherever_it_is_cut(block: str, beyond: float) -> None:
    """Blocks of a character up to 400 count four times, short ones as often as makes 160 characters."""
    begin = "def add(a, b):\n    return a + b\n\n"
    times = max(4, -(-160 // len(block)))
    text = begin + block * times + block[: int(beyond * len(block))]
    assert repeats(text)
    assert not repeats(begin + block * 2)


def test_a_loop_that_counts_is_one() -> None:
    """No block repeats exactly, but hardly anything is new."""
    text = "".join(
        f"{number}. Then we add the number to the total and go on with the rest of the list.\n" for number in range(40)
    )
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SENTENCE * 3,
        "# " + "-" * 118 + "\n",
        " " * 120 + "return x",
        "\n".join(f"    assert solve([{n}, {n * n}], {n % 7}) == {n * 3 + 1}" for n in range(15)),
        "TABLE = {\n" + "".join(f'    "{chr(97 + n)}{n * 37 % 11}": {n * 7919 % 1009},\n' for n in range(26)) + "}",
        "| name | size |\n| --- | --- |\n" + "".join(f"| file_{n}.py | {n * 7919 % 5003} |\n" for n in range(30)),
        base64.b64encode(random.Random(0).randbytes(1500)).decode(),
    ],
    ids=["empty", "three times", "rule", "indentation", "asserts", "dictionary", "table", "base64"],
)
def test_ordinary_texts_are_no_loops(text: str) -> None:
    """Also while they are being written."""
    assert not any(repeats(text[:end]) for end in range(0, len(text) + 1, 40))
    assert not repeats(text)


def test_the_functions_of_the_standard_library_are_no_loops() -> None:
    """At most one in five hundred, tables of tests among them, looked at as often as an engine does."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.rglob("*.py")) if "site-packages" not in path.parts]
    functions = []
    for path in random.Random(0).sample(files, 150):
        try:
            text = path.read_text("utf-8")
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError):
            continue
        lines = text.split("\n")
        functions += [
            "\n".join(lines[node.lineno - 1 : node.end_lineno])
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        ]
    functions = random.Random(0).sample(functions, min(1500, len(functions)))
    step = 4 * EVERY_TOKENS
    taken = [code for code in functions if any(repeats(code[:end]) for end in range(step, len(code) + step, step))]
    assert len(functions) > 500
    assert len(taken) <= len(functions) / 500, taken[0]
