"""Answers have one reader: code comes back byte for byte, whatever a model wraps it in."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.benchmarks.answers import find_solution
from selfcodealign.errors import FewShotError
from selfcodealign.fences import defines, extract_python, read_answer, read_tests, read_verbatim
from selfcodealign.generation.few_shot_parser import Lines

#: Code that is easily misread: it mentions tags and fences, or has characters that are no line ends in it.
CODES = {
    "plain": "def f(x):\n    return x + 1\n",
    "imports": "import math\n\n\ndef f(x):\n    return math.floor(x)\n",
    "future": "from __future__ import annotations\n\ndef f(x: int) -> int:\n    return x\n",
    "thinking tags": "def f(s='a</think>1'):\n    return s.split('</think>')[-1] or '<think>'\n",
    "thinking in a docstring": "def f(s):\n    '''Strip <reasoning> tags.'''\n    return s\n",
    "end token": "def f(s):\n    return s.replace(\"<|endoftext|>\", '') + '</s>'\n",
    "end token in a comment": "END = ('<|im_end|>', '</s>')\n\ndef f(s):\n    # before <|im_end|> here\n    return s\n",
    "fence in a docstring": 'def f(x):\n    """Doc.\n\n    ```python\n    f(1)\n    ```\n    """\n    return x\n',
    "fence at column 0": 'def f(x):\n    """\n```\nf(1)\n```\n    """\n    return x\n',
    "python fence at column 0": 'def f(x):\n    """\n```python\nf(1)\n```\n    """\n    return x\n',
    "separators": "def f():\n    return 'a\u2028b\x85c\x0cd'\n",
    "form feed": "import os\n\x0c\ndef f():\n    return 'x'\n",
    "invisible in a text": "def f():\n    return 'a\xa0b\u200bc\ufeff'\n",
    "class": "class f:\n    x: int = 3\n\n    def g(self):\n        return [\n            1,\n        ]\n",
    "lines in a text": "def f():\n    return '''a\nb\n'''\n",
    "decorator": "import functools\n\n@functools.cache\ndef f():\n    return 1\n",
    "backticks": "def f(s):\n    return s.strip('`') + '```' + \"~~~\"\n",
    "session in a docstring": "def f():\n    '''\n    >>> f()\n    1\n    '''\n    return 1\n",
    "bracket tags": "def f():\n    return '[PYTHON]' + '[/PYTHON]' + '<code>'\n",
}
#: Wrappings with a fence that Markdown closes.
FENCED = {
    "fence": "```python\n{code}```\n",
    "prose": "Sure! It's easy:\n\n```python\n{code}```\n\nThis function's job is done.",
    "no language": "```\n{code}```",
    "python3": "```python3\n{code}```",
    "Python": "```Python\n{code}```",
    "py": "```py\n{code}```",
    "python3.11": "```python3.11\n{code}```",
    "file name": "```solution.py\n{code}```",
    "file name behind": "```python solution.py\n{code}```",
    "file name behind a colon": "```python:src/solution.py\n{code}```",
    "file path": "```src/solution.py\n{code}```",
    "title": '```py title="a.py"\n{code}```',
    "braces": "```{{.python .numberLines}}\n{code}```",
    "tildes": "~~~python\n{code}~~~",
    "five": "`````python\n{code}`````",
    "closed longer": "```python\n{code}`````\n\nNow explained.",
    "mid-line": "Here it is: ```python\n{code}```",
    "mid-line without a language": "Here it is: ```\n{code}```",
    "bash first": "```bash\npip install x\n```\n\n```python\n{code}```",
    "output after": "```python\n{code}```\nOutput:\n```\n1 2 3\n```",
    "JSON first": '```json\n{{"a": 1}}\n```\n```python\n{code}```',
    "JavaScript first": "```javascript\nfunction f() {{ return 1 }}\n```\nIn Python:\n```\n{code}```",
    "unknown language": "```code\n{code}```",
    "[PYTHON] around": "[PYTHON]\n```python\n{code}```\n[/PYTHON]",
    "thinking": "<think>Let me see, f is 2? It's easy</think>\n```python\n{code}```",
    "thinking with code": "<think>maybe\n```python\ndef f(): return 'wrong'\n```\n</think>\n```python\n{code}```",
    "thinking with a cut fence": "<think>maybe\n```python\ndef f(): return 'wrong\n</think>\n```python\n{code}```",
    "thinking that the template opened": "I should write it.\n</think>\n\n```python\n{code}```",
    "the same with code": "Try:\n```python\ndef f(): return 'wrong'\n```\nok</think>\n```python\n{code}```",
    "[THINK]": "[THINK]hm[/THINK]```python\n{code}```",
    "thinking fence": "```thinking\nLet me do it: def f(): pass\n```\n```python\n{code}```",
    "thought and solution": "<|begin_of_thought|>hm<|end_of_thought|>\n<|begin_of_solution|>\n```python\n{code}```\n"
    "<|end_of_solution|>",
    "channels": "<|channel|>analysis<|message|>We need def f(): return 0<|end|><|start|>assistant<|channel|>final"
    "<|message|>```python\n{code}```<|return|>",
    "channels without tokens": "analysisWe need to write f.assistantfinal```python\n{code}```",
    "end token behind": "```python\n{code}```<|im_end|>",
    "another turn": "```python\n{code}```\n<|im_end|>\n<|im_start|>user\nNow g:\n```python\ndef f(): return 'no'\n```",
    "half a token": "```python\n{code}```\n<|im_",
    "header": "<|im_start|>assistant\n```python\n{code}```<|im_end|>",
    "instruction token": " [/INST] Sure:\n```python\n{code}``` </s>",
    "byte-order mark": "\ufeff```python\n{code}```",
    "byte-order mark in code": "```python\n\ufeff{code}```",
    "session after": "```python\n{code}```\nIn a session:\n```pycon\n>>> f(None, None, None)\nTraceback\n```",
    "blanks": "```python   \n{code}```   \n\n",
    "section tag": "```python\n{code}```</response>",
    "headings": "# Solution\n\n```python\n{code}```\n## Explanation\nIt's `f`.",
    "empty block first": "```python\n```\n```python\n{code}```",
    "stray fence after": "```python\n{code}```\n```",
}
#: Wrappings that Markdown would read otherwise; code with fences of its own at column 0 is ambiguous in some of them.
WRONG = {
    "bare": "{code}",
    "bare in prose": "Here's the function:\n\n{code}\nIt returns one.",
    "bare, closed behind prose": "The code is:\n\n{code}\nIt returns one.\n\n```",
    "bare, closed": "The code is:\n\n{code}```\nIt's fine.",
    "begun by the prompt": "{code}```\nThis returns one.",
    "begun, with a block after": "{code}```\nUsage:\n```\n$ run it\n```",
    "closed shorter": "`````python\n{code}```\n\nNow explained.",
    "closed otherwise": "~~~python\n{code}```\n\nNow explained.",
    "not closed": "```python\n{code}",
    "opened twice": "```\n```python\n{code}```",
    "in a block of Markdown": "````markdown\n```python\n{code}```\n````",
    "[PYTHON]": "[PYTHON]\n{code}[/PYTHON]",
    "[PYTHON] begun by the prompt": "{code}[/PYTHON]\nThat is it.",
    "<answer>": "<answer>\n{code}</answer>",
    "thinking, then bare": "<think>\nhmm\n</think>\n\n{code}",
    "channels, then bare": "<|channel|>analysis<|message|>We need f.<|end|><|start|>assistant<|channel|>final"
    "<|message|>{code}<|return|>",
    "bare, end token": "{code}<|endoftext|>",
    "bare, short end token": "{code}</s>",
    "bare, half a token": "{code}<|",
    "bare, more of a token": "{code}<|endof",
    "header, then bare": "<|start_header_id|>assistant<|end_header_id|>\n\n{code}",
}
PLAIN = [name for name in CODES if "column 0" not in name]


def unwrapped(text: str) -> list[str]:
    """The code as a response and as a benchmark's answer, without empty lines around it."""
    return [read_answer(text).code.strip("\n"), read_answer(text, "f").code.strip("\n")]


def shift(code: str, by: int) -> str:
    return "".join(f"{' ' * by + line if line.strip() else line}\n" for line in code.split("\n")[:-1])


@pytest.mark.parametrize("wrapping", FENCED)
def test_code_comes_back_from_fences(wrapping: str) -> None:
    """Every code, byte for byte, through fences, languages, thinking, special tokens and other blocks."""
    for name, code in CODES.items():
        assert unwrapped(FENCED[wrapping].format(code=code)) == [code.strip("\n")] * 2, name


@pytest.mark.parametrize("wrapping", WRONG)
def test_code_comes_back_from_what_is_no_markdown(wrapping: str) -> None:
    """Missing, stray, shorter and longer fences, tags, and no fence at all."""
    for name in CODES if wrapping.startswith("bare") else PLAIN:
        code = CODES[name]
        assert unwrapped(WRONG[wrapping].format(code=code)) == [code.strip("\n")] * 2, name


@pytest.mark.parametrize("name", PLAIN)
def test_code_comes_back_from_lists_quotes_and_other_line_ends(name: str) -> None:
    """Indentation that a list gives is taken away, quote marks as well; line ends become \\n."""
    code = CODES[name]
    for by, opening in ((4, "1. Do:\n\n    ```python\n"), (2, "- ```python\n"), (8, "* a\n  * b\n\n        ```py\n")):
        assert unwrapped(f"{opening}{shift(code, by)}{' ' * by}```\n2. Done") == [code.strip("\n")] * 2
    quoted = "".join(f"> {line}\n" for line in code.split("\n")[:-1])
    assert unwrapped(f"> ```python\n{quoted}> ```\nSo?") == [code.strip("\n")] * 2
    assert unwrapped(f"Sure:\n```python\n{code}```\n".replace("\n", "\r\n")) == [code.strip("\n")] * 2


@given(
    st.sampled_from(sorted(FENCED)),
    st.lists(
        st.sampled_from(["x = 1", "y = 'it''s'", "def g(a): return a", "class C: pass", "# note", ""]), max_size=8
    ),
    st.text(st.characters(exclude_characters="`~<>[]|{}\r\n'\"#=()@:", exclude_categories=["Cs", "Cc"]), max_size=30),
)
def test_code_that_was_made_up_comes_back(wrapping: str, lines: list[str], prose: str) -> None:
    """Whatever lines of code, and whatever words stand around the wrapping."""
    code = "".join(f"{line}\n" for line in ["def f():", "    return 1", *lines])
    text = f"{FENCED[wrapping].format(code=code)}\n\nSo {prose} it is."
    assert unwrapped(text) == [code.strip("\n")] * 2


@given(st.text(st.sampled_from(list("`~ \n\tadefpython:()>.|</think[]'\"\\#\ufeff\xa01=@-*")), max_size=120))
def test_reading_never_raises_and_makes_nothing_up(text: str) -> None:
    """Any text has a reading, and what is read as code was in the text, blanks aside."""
    for reading in (read_answer(text), read_answer(text, "f"), read_tests(text)):
        known = "".join(text.split()).replace("\ufeff", "")
        assert all("".join(line.split()).replace("\ufeff", "") in known for line in reading.code.splitlines())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("```def f(): return 1```", 1),
        ("```python def f(): return 1```", 1),
        ("You can write ```def f(): return 1``` here.", 1),
        ("Use `def f(): return 1` for that.", 1),
        ("Just `f = lambda: 1` will do.", 1),
        ("[PYTHON] def f(): return 1 [/PYTHON]", 1),
        ("```python\ndef f():\n    return 1```\nDone.", 1),
        ('<pre><code class="language-python">import math\ndef f(): return math.floor(1.5)\n</code></pre>', 1),
        ("```pycon\n>>> def f():\n...     return 1\n...\n>>> f()\n1\n```", 1),
        ("```ipython\nIn [1]: def f():\n   ...:     return 1\n   ...: \n\nIn [2]: f()\nOut[2]: 1\n```", 1),
        ("```python\ndef f():\n    return 1\n\n>>> f()\n1\n```", 1),
        ("Step 1: import\n\nimport math\n\nStep 2: write\n\ndef f():\n    return math.floor(1.2)\n\nThat's all!", 1),
        ("Here:\n\n    def f():\n        return 1\n\nDone.", 1),
        ("```python\ndef f():\n\u3000\u3000return 1\n```", 1),
        ("```python\ndef f(\u200b):\n    return\u200b 1\n```", 1),
        ("```python\ndef f():\n    return 1\n\nIt's the value.\n", 1),
        ("```python\ndef f():\n    return 1\n\nUsage is simple:\n```bash\npython f.py\n```", 1),
        ("def f():\n    return 1\n\nExplanation: this", 1),
    ],
)
def test_other_shapes_of_one_function(text: str, value: int) -> None:
    """One line, inline code, sessions, steps, indented code, characters that Python refuses, missing ends."""
    for code in (read_answer(text, "f").code, extract_python(text)):
        names: dict[str, object] = {}
        exec(code, names)  # ours, and harmless
        assert names["f"]() == value  # type: ignore[operator]


@pytest.mark.parametrize(
    "blocks",
    [
        ["from math import floor", "def f():\n    return floor(1.5)"],
        ["def h(x):\n    return x", "def f():\n    return h(1)"],
        ["def f():\n    return h(1)", "def h(x):\n    return x"],
        ["ONE = 1", "def g():\n    return ONE", "def f():\n    return g()"],
        ["import math", "from __future__ import annotations\ndef f(x: Foo = 1):\n    return x"],
        ["def f():\n    return 0", "def f():\n    return 1", "print(f())"],
        ["class A:\n    one = 1", "A", "def f():\n    return A.one"],
    ],
)
def test_several_blocks_make_one_program(blocks: list[str]) -> None:
    """Imports, helpers and constants in other blocks belong to the function; the final version beats the draft."""
    text = "\nThen:\n".join(f"```python\n{block}\n```" for block in blocks)
    for code in (read_answer(text, "f").code, extract_python(text)):
        names: dict[str, object] = {"print": lambda *values: None}
        exec(code, names)  # ours, and harmless
        assert names["f"]() == 1  # type: ignore[operator]


def test_which_block_is_taken() -> None:
    """The last one that defines the entry point; without one, all of them, or the first or last one."""
    text = (
        "```python\ndef f(x): return 0\n```\nSo:\n```python\ndef f(x): return 1\n```\nUse:\n```python\nprint(f(1))\n```"
    )
    assert read_answer(text, "f").code == "def f(x): return 1\n"
    assert read_answer(text, pick="first").code == "def f(x): return 0\n"
    assert read_answer(text, pick="last").code == "print(f(1))\n"
    assert read_answer(text).code == "def f(x): return 0\n\ndef f(x): return 1\n\nprint(f(1))"


@pytest.mark.parametrize("text", ["I cannot help with that.", "", "```bash\nls\n```", "<think>hm ```python\nf()\n```"])
def test_an_answer_without_code(text: str) -> None:
    """Words, other languages and thinking that never ended hold no code."""
    assert read_answer(text).code == ""


def test_broken_code_is_not_mended_into_other_code() -> None:
    """A function that does not parse fails as it is: no part of it is left out, in no wrapping."""
    broken = "def f():\n    return 1\n\ndef g(:\n    return 2\n"
    for text in (broken, f"Here:\n\n{broken}", f"```python\n{broken}```"):
        assert "def g(:" in read_answer(text).code
        assert "def g(:" in read_answer(text, "f").code
    tests = "assert f() == 1\nassert f() = 2\n"
    assert read_tests(tests).code == tests
    assert "f() = 2" in read_tests(f"```python\n{tests}```").code
    cut = "assert f() == 1\n)\nassert f() == 2\n"
    assert read_tests(f"```python\n{cut}```").code == cut.removesuffix("\n")


def test_tests_keep_the_examples_of_a_session() -> None:
    """doctest runs them; in a response they are code."""
    session = "```pycon\n>>> f()\n1\n```"
    assert read_tests(session).code == ">>> f()\n1"
    assert extract_python(session) == "f()"


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        ("```python\ndef f():\n\xa0\xa0return 1\n```", ("no-break spaces",)),
        ("```python\n\ufeffdef f():\n  return 1\n```", ("byte-order mark",)),
        ("```python\ndef f():\u200b\n  return 1\n```", ("zero-width characters",)),
        ("<think>hm</think>```python\ndef f():\n  return 1\n```", ("thinking",)),
        ("```python\ndef f():\n  return 1\n```<|im_end|>", ("special tokens",)),
        ("```python\ndef f():\n  return 1\n```", ()),
    ],
)
def test_repairs_are_told_and_made_in_the_text(text: str, repairs: tuple[str, ...]) -> None:
    """A data set may hold the text of the reading: it reads as the same code, and nothing is left to repair."""
    reading = read_answer(text)
    assert reading.repairs == repairs
    again = read_answer(reading.text)
    assert (again.code, again.repairs, again.text) == (reading.code, (), reading.text)


def test_a_program_of_ours_is_read_as_it_is_written() -> None:
    """What another tool would fail on is not mended for benchmarks."""
    assert read_verbatim("def f(:\nSo much prose.") == "def f(:\nSo much prose."
    assert read_verbatim("````python\nx = '''\n```\n'''\n````") == "x = '''\n```\n'''"
    assert read_verbatim('"""\n```python\nx\n```\n"""') == '"""\n```python\nx\n```\n"""'


def test_all_readers_agree() -> None:
    """A response, a benchmark answer and a worked example read the same code from the same text."""
    text = "Text\n  ~~~Python3\nx = '''\n```\n'''\n  ~~~\nmore"
    code = "x = '''\n```\n'''\n"
    assert extract_python(text) == code.removesuffix("\n")
    assert find_solution(text) == code
    Lines("few.md", text).check_fenced(0, "response", text, "python")
    with pytest.raises(FewShotError, match=r"few\.md:12: this Python code does not parse"):
        Lines("few.md", text).check_fenced(9, "response", text.replace("x = ", "x = = "), "python")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(x): ...", True),
        ("async def f(x): ...", True),
        ("class f: ...", True),
        ("f = lambda x: x", True),
        ("f: int = 3", True),
        ("    def f(self): ...", False),
        ("def f2(): ...", False),
        ("f == 3", False),
        ("x = f(3)", False),
    ],
)
def test_definitions_are_told_from_uses(code: str, expected: bool) -> None:
    """Only a definition at the top level counts."""
    assert defines(code, "f") is expected


UNITS = [
    "~",
    "`",
    "```a\n",
    "```python\nx = 1\n",
    "`````python\nx=1\n```\n",
    "```python\nprose (\n```\n",
    "```x```",
    "[",
]
UNITS += ["<think>", "</think>", "<think></think>", "<|im_end|>", "'\\", '"""', "> ", "- ", "def f(:\n", "def f():\n"]
UNITS += [
    "x = 1\nprose\n",
    "import this\n",
    "\u200b'",
    "[PYTHON]\n",
    "a ```python\n",
    ">>> x\n",
    "In [1]: x\n",
    "analysis",
]


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_length_of_the_text(unit: str) -> None:
    """Texts that could cost quadratic time: four times the length costs no more than about four times as much."""
    taken = []
    for length in (20_000, 80_000):
        text = unit * (length // len(unit))
        rounds = []
        for _ in range(3):  # the fastest of them: others are slowed by what else runs
            started = time.process_time()
            read_answer(text, "f")
            rounds.append(time.process_time() - started)
        taken.append(min(rounds))
    assert taken[1] < 10 * taken[0] + 0.5
