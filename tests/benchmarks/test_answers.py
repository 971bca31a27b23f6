"""Code out of what models write."""

from __future__ import annotations

import ast

import pytest

from selfcodealign.benchmarks.answers import complete, find_solution

CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Sure!\n```python\n{CODE}```\nHope it helps.",
        f"```\n{CODE}```",
        f"```py\n{CODE}",
        f"~~~python\n{CODE}~~~\n",
        f"```bash\npip install x\n```\n```python\n{CODE}```",
        f"<think>```python\nbad\n```</think>```Python3\n{CODE}```",
        f"Here is the function:\n\n{CODE}\nIt adds one.",
        CODE,
    ],
)
def test_code_is_found_in_every_wrapping(text: str) -> None:
    """Fences of all kinds, closed or cut off, among prose and other languages, or no fence at all."""
    assert find_solution(text, "f").strip() == CODE.strip()


def test_the_last_block_that_defines_the_entry_point_counts() -> None:
    """A correction beats the first try; a usage example after it does not."""
    text = f"```python\ndef f(x): return 0\n```\nWrong, so:\n```python\n{CODE}```\nUse it:\n```python\nprint(f(1))\n```"
    assert find_solution(text, "f") == CODE
    assert find_solution(text) == "def f(x): return 0\n"
    assert find_solution(text, pick="last") == "print(f(1))\n"


def test_what_cannot_be_read_as_code_is_handed_on_as_it_is() -> None:
    """An answer without code fails as what it is; nothing is made up."""
    assert find_solution("I cannot help with that.") == "I cannot help with that."


def test_a_solution_gets_the_prompt_that_an_answer_leaves_out() -> None:
    """Continuations, whole functions without imports, and echoes of the prompt all become whole programs."""
    prompt = 'from typing import List\n\ndef f(xs: List[int]) -> int:\n    """Sum."""\n'
    for code in (
        "    return sum(xs)\n",
        "def f(xs: List[int]) -> int:\n    return sum(xs)\n",
        prompt + "    return sum(xs)\n",
    ):
        names: dict[str, object] = {}
        exec(complete(prompt, code), names)  # ours, and harmless
        assert names["f"]([1, 2]) == 3  # type: ignore[operator]
    ast.parse(complete("def f():\n    '''x'''", "return 1\n".join(["    ", ""])))
    assert complete(prompt, "\n" + prompt + "    return 0\n").count("List[int]") == 1


def test_future_imports_stay_first_behind_a_prompt() -> None:
    """Python wants them before all other code; the prompt is put in front of an answer."""
    prompt = "from typing import List\n\ndef f(xs: List[int]) -> int:\n    pass\n"
    whole = complete(prompt, "from __future__ import annotations\n\ndef f(xs: Foo) -> int:\n    return 1\n")
    names: dict[str, object] = {}
    exec(whole, names)  # ours, and harmless
    assert names["f"]([]) == 1  # type: ignore[operator]
