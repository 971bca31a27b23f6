"""Tests in every style that models write are run: a right response passes them, a wrong one does not."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status
from tests.support.answers import RIGHT, WRONG
from tests.support.judge import Judge

STYLES = {
    "bare asserts": "assert add(1, 2) == 3",
    "assert with a message": "assert add(1, 2) == 3, f'got {add(1, 2)}'",
    "result in a variable": "result = add(1, 2)\nassert result == 3",
    "asserts in a loop": "for a, b, c in [(1, 2, 3), (4, 5, 9)]:\n    assert add(a, b) == c",
    "chained comparison": "assert 2 < add(1, 2) < 4",
    "and": "assert add(1, 2) == 3 and add(2, 2) == 4",
    "not": "assert not add(1, 2) != 3",
    "walrus": "assert (total := add(1, 2)) == 3",
    "all": "assert all(add(n, 1) == n + 1 for n in range(5))",
    "in": "assert add(1, 2) in (3, 30)",
    "test function": "def test_add():\n    assert add(1, 2) == 3",
    "test function, called": "def test_add():\n    assert add(1, 2) == 3\ntest_add()",
    "main guard": "def test_add():\n    assert add(1, 2) == 3\nif __name__ == '__main__':\n    test_add()",
    "asserts behind a main guard": "if __name__ == '__main__':\n    assert add(1, 2) == 3",
    "from solution import": "from solution import add\nassert add(1, 2) == 3",
    "from solution import all": "from solution import *\ndef test_add():\n    assert add(1, 2) == 3",
    "import solution": "import solution\nassert solution.add(1, 2) == 3",
    "from a module of any name": "from my_calculator import add, Stack\nassert add(1, 2) == 3",
    "a module with a new name": "import calculator_solution as c\nassert c.add(1, 2) == 3",
    "raises": (
        "import pytest\ndef test_none():\n    with pytest.raises(ValueError, match='nothing'):\n        add(None, 1)"
    ),
    "raises with info": (
        "import pytest\ndef test_none():\n    with pytest.raises(ValueError) as info:\n        add(None, 1)\n"
        "    assert 'nothing' in str(info.value)"
    ),
    "raises, as a call": (
        "import pytest\ndef test_none():\n    pytest.raises(ValueError, add, None, 1)\n    assert add(1, 2) == 3"
    ),
    "own exceptions": (
        "import pytest\ndef test_empty():\n    s = Stack()\n    s.push(1); s.push(2)\n    assert s.pop() == 2"
    ),
    "approx": "import pytest\ndef test_add():\n    assert add(0.1, 0.2) == pytest.approx(0.3)",
    "parametrize": (
        "import pytest\n"
        "@pytest.mark.parametrize('a,b,expected', [(1, 2, 3), (0, 0, 0), pytest.param(2, 3, 5, id='x')])\n"
        "def test_add(a, b, expected):\n    assert add(a, b) == expected"
    ),
    "parametrize twice": (
        "import pytest\n@pytest.mark.parametrize('a', [1, 2])\n@pytest.mark.parametrize('b', [3, 4])\n"
        "def test_add(a, b):\n    assert add(a, b) == a + b"
    ),
    "fixture": (
        "import pytest\n@pytest.fixture\ndef two():\n    return 2\ndef test_add(two):\n    assert add(1, two) == 3"
    ),
    "fixture with yield": (
        "import pytest\n@pytest.fixture\ndef stack():\n    s = Stack()\n    s.push(1)\n    yield s\n"
        "    s.items.clear()\n"
        "def test_pop(stack):\n    stack.push(5)\n    assert stack.pop() == 5"
    ),
    "fixture on a fixture": (
        "import pytest\n@pytest.fixture(scope='module')\ndef one():\n    return 1\n@pytest.fixture\ndef two(one):\n"
        "    return one + 1\ndef test_add(one, two):\n    assert add(one, two) == 3"
    ),
    "fixture with params": (
        "import pytest\n@pytest.fixture(params=[1, 2])\ndef number(request):\n    return request.param\n"
        "def test_add(number):\n    assert add(number, 1) == number + 1"
    ),
    "autouse fixture": (
        "import pytest\nseen = []\n@pytest.fixture(autouse=True)\ndef note():\n    seen.append(1)\n"
        "def test_add():\n    assert add(len(seen), 2) == 3"
    ),
    "capsys": "def test_show(capsys):\n    show(1, 2)\n    assert capsys.readouterr().out == '3\\n'",
    "tmp_path": (
        "def test_put(tmp_path):\n    put(tmp_path / 'f', 'x')\n    assert (tmp_path / 'f').read_text() == 'x'"
    ),
    "monkeypatch": (
        "def test_add(monkeypatch):\n    monkeypatch.setenv('N', '2')\n    import os\n"
        "    assert add(1, int(os.environ['N'])) == 3"
    ),
    "patch as a decorator": (
        "from unittest.mock import patch\n@patch('builtins.print')\ndef test_show(mock_print, tmp_path):\n"
        "    show(1, 2)\n    mock_print.assert_called_once_with(3)\n    assert tmp_path.exists()"
    ),
    "class": "class TestAdd:\n    def test_add(self):\n        assert add(1, 2) == 3",
    "class with set-up": (
        "class TestStack:\n    def setup_method(self):\n        self.stack = Stack()\n        self.stack.push(1)\n"
        "    def test_pop(self):\n        self.stack.push(2)\n        assert self.stack.pop() == 2"
    ),
    "class with parametrize": (
        "import pytest\nclass TestAdd:\n    @pytest.mark.parametrize('n', [1, 2])\n    def test_add(self, n):\n"
        "        assert add(n, 1) == n + 1"
    ),
    "pytest.main": (
        "import pytest\ndef test_add():\n    assert add(1, 2) == 3\nif __name__ == '__main__':\n"
        "    pytest.main([__file__])"
    ),
    "exit with pytest.main": (
        "import pytest, sys\ndef test_add():\n    assert add(1, 2) == 3\nif __name__ == '__main__':\n"
        "    sys.exit(pytest.main())"
    ),
    "pytest.fail": (
        "import pytest\ndef test_add():\n    if add(1, 2) != 3:\n        pytest.fail('no')\n    assert add(0, 2) == 2"
    ),
    "async test": "import pytest\n@pytest.mark.asyncio\nasync def test_add():\n    assert add(1, 2) == 3",
    "unittest": (
        "import unittest\nclass TestAdd(unittest.TestCase):\n    def test_add(self):\n"
        "        self.assertEqual(add(1, 2), 3)"
    ),
    "unittest with main": (
        "import unittest\nclass TestAdd(unittest.TestCase):\n    def test_add(self):\n"
        "        self.assertEqual(add(1, 2), 3)\n"
        "if __name__ == '__main__':\n    unittest.main()"
    ),
    "unittest with setUp": (
        "from unittest import TestCase, main\nclass TestStack(TestCase):\n    def setUp(self):\n"
        "        self.stack = Stack()\n"
        "        self.stack.push(1)\n    def test_pop(self):\n        self.stack.push(2)\n"
        "        self.assertEqual(self.stack.pop(), 2)\nmain(argv=[''], exit=False)"
    ),
    "unittest raises": (
        "import unittest\nclass T(unittest.TestCase):\n    def test_none(self):\n"
        "        with self.assertRaises(ValueError):\n"
        "            add(None, 1)\n    def test_call(self):\n        self.assertRaises(ValueError, add, None, 1)"
    ),
    "unittest by hand": (
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n"
        "        self.assertTrue(add(1, 2) == 3)\n"
        "suite = unittest.TestLoader().loadTestsFromTestCase(T)\nunittest.TextTestRunner(verbosity=2).run(suite)"
    ),
    "unittest with subTest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        for n in range(3):\n"
        "            with self.subTest(n=n):\n                self.assertEqual(add(n, 1), n + 1)"
    ),
    "doctest lines": ">>> add(1, 2)\n3\n>>> add('a', 'b')\n'ab'",
    "doctest module": "import doctest\ndef checked():\n    '''\n    >>> add(1, 2)\n    3\n    '''\ndoctest.testmod()",
    "try / except / else": (
        "try:\n    add(None, 1)\nexcept ValueError as error:\n    assert 'nothing' in str(error)\nelse:\n"
        "    assert False, 'no error'"
    ),
    "if and raise": "if add(1, 2) != 3:\n    raise AssertionError('wrong')",
    "changed in place": "def test_sort():\n    values = [2, 3, 1]\n    sort(values)\n    assert values == [1, 2, 3]",
    "captured output": (
        "import io\nfrom contextlib import redirect_stdout\nout = io.StringIO()\nwith redirect_stdout(out):\n"
        "    show(1, 2)\n"
        "assert out.getvalue() == '3\\n'"
    ),
    "written file": "put('f.txt', 'x')\nassert open('f.txt').read() == 'x'",
    "mock": (
        "from unittest.mock import patch\ndef test_show():\n    with patch('builtins.print') as out:\n"
        "        show(1, 2)\n"
        "    out.assert_called_once_with(3)"
    ),
    "numpy's assertions": "import numpy as np\nnp.testing.assert_allclose(add(np.array([1.0, 2]), 1), [2.0, 3.0])",
    "threads": (
        "import threading\nresults = []\nthread = threading.Thread(target=lambda: results.append(add(1, 2)))\n"
        "thread.start()\nthread.join()\nassert results == [3]"
    ),
}


#: Styles that need more of the machine than memory: what a wall could stand in the way of.
OUTWARD = ["tmp_path", "monkeypatch", "async test", "written file", "threads", "numpy's assertions", "unittest by hand"]


@pytest.mark.parametrize("style", OUTWARD)
def test_styles_that_reach_outside_are_run_in_each_mode(style: str, judge: Judge) -> None:
    """A verdict does not depend on the walls."""
    assert judge(RIGHT, STYLES[style]).mutation_score
    assert judge(WRONG, STYLES[style]).status in (Status.FAILED, Status.ERROR)


@pytest.mark.one_mode
@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_run(style: str, judge: Judge) -> None:
    """The right response passes with tests that kill mutants; the wrong one fails the same tests."""
    right = judge(f"```python\n{RIGHT}\n```", f"```python\n{STYLES[style]}\n```")
    assert right.passed, right
    assert right.mutation_score
    wrong = judge(WRONG, STYLES[style])
    assert wrong.status in (Status.FAILED, Status.ERROR), wrong


@pytest.mark.one_mode
def test_skipped_and_expected_failures_do_not_fail_the_rest(judge: Judge) -> None:
    """Tests marked skip, skipif or xfail are left out; the others decide."""
    tests = """
import pytest
@pytest.mark.skip(reason="later")
def test_a():
    assert add(1, 2) == 4
@pytest.mark.skipif(True, reason="never")
def test_b():
    assert add(1, 2) == 5
@pytest.mark.xfail
def test_c():
    assert add(1, 2) == 6
def test_d():
    pytest.skip("no")
def test_e():
    assert add(1, 2) == 3
"""
    assert judge(RIGHT, tests).passed


@pytest.mark.one_mode
def test_tests_inside_the_response(judge: Judge) -> None:
    """A response that holds both sections is judged by the tests in it: tagged, under a heading, or just there."""
    section = "```python\nassert add(1, 2) == 3\n```"
    for text in (
        f"<response>\n```python\n{RIGHT}\n```\n</response>\n<tests>\n{section}\n</tests>",
        f"```python\n{RIGHT}\n```\n\n## Tests\n\n{section}",
        f"```python\n{RIGHT}\n\nassert add(1, 2) == 3\n```",
    ):
        assert judge(text).passed, text
        assert judge(text.replace("a + b", "a - b")).status is Status.FAILED, text
