"""Fixtures, types and hooks of pytest and its plugins: a right response passes such tests, a wrong one fails."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status
from tests.support.answers import RIGHT, WRONG
from tests.support.judge import Judge

STYLES = {
    "tmp_path_factory": (
        "def test_put(tmp_path_factory):\n    path = tmp_path_factory.mktemp('d') / 'f'\n    put(path, 'x')\n"
        "    assert path.read_text() == 'x'"
    ),
    "recwarn": (
        "import warnings\ndef test_add(recwarn):\n    warnings.warn(str(add(1, 2)))\n    assert len(recwarn) == 1\n"
        "    assert str(recwarn.pop(UserWarning).message) == '3'"
    ),
    "caplog": (
        "import logging\ndef test_add(caplog):\n    with caplog.at_level(logging.INFO):\n"
        "        logging.getLogger('sums').info('sum %d', add(1, 2))\n"
        "    assert caplog.record_tuples == [('sums', logging.INFO, 'sum 3')]\n    assert 'sum 3' in caplog.text"
    ),
    "capfd": (
        "import os\ndef test_show(capfd):\n    show(1, 2)\n    os.write(1, b'+')\n"
        "    assert capfd.readouterr().out == '3\\n+'"
    ),
    "request in a test": "def test_add(request):\n    assert add(request.node.name, '!') == 'test_add!'",
    "mocker": (
        "def test_show(mocker):\n    out = mocker.patch('builtins.print')\n    show(1, 2)\n"
        "    out.assert_called_once_with(3)"
    ),
    "mocker.spy": (
        "class Sums:\n    def of(self, a, b):\n        return add(a, b)\n"
        "def test_of(mocker):\n    spy = mocker.spy(Sums, 'of')\n    assert Sums().of(1, 2) == 3\n"
        "    assert spy.spy_return == 3"
    ),
    "annotated fixtures": (
        "import pytest\nfrom _pytest.logging import LogCaptureFixture\nfrom pytest_mock import MockerFixture\n"
        "def test_show(capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory) -> None:\n"
        "    show(1, 2)\n    assert capsys.readouterr().out == '3\\n'"
    ),
    "indirect parameters": (
        "import pytest\n@pytest.fixture\ndef double(request):\n    return request.param * 2\n"
        "@pytest.mark.parametrize('double, expected', [(1, 3), (2, 5)], indirect=['double'])\n"
        "def test_add(double, expected):\n    assert add(double, 1) == expected"
    ),
    "async fixtures": (
        "import asyncio, pytest, pytest_asyncio\n"
        "@pytest_asyncio.fixture(scope='module')\nasync def loop():\n    yield asyncio.get_running_loop()\n"
        "@pytest.fixture\nasync def one(loop):\n    await asyncio.sleep(0)\n    return 1\n"
        "@pytest.mark.asyncio\nasync def test_add(one, loop):\n    assert loop is asyncio.get_running_loop()\n"
        "    assert add(one, 2) == 3"
    ),
    "fixtures of a class": (
        "import pytest\nmade = []\n@pytest.fixture(scope='class')\ndef count():\n    made.append(1)\n"
        "    return len(made)\n"
        "class TestOne:\n    def test_a(self, count):\n        assert add(count, 1) == 2\n"
        "    def test_b(self, count):\n        assert add(count, 2) == 3\n"
        "class TestTwo:\n    def test_a(self, count):\n        assert add(count, 1) == 3"
    ),
    "fixture on a TestCase": (
        "import pytest, unittest\nclass TestPut(unittest.TestCase):\n    @pytest.fixture(autouse=True)\n"
        "    def folder(self, tmp_path):\n        self.path = tmp_path / 'f'\n"
        "    def test_put(self):\n        put(self.path, 'x')\n        self.assertEqual(self.path.read_text(), 'x')"
    ),
    "class in a class": (
        "class TestAll:\n    class TestAdd:\n        def test_add(self):\n            assert add(1, 2) == 3"
    ),
    "patched class": (
        "from unittest.mock import patch\n@patch('builtins.print')\nclass TestShow:\n"
        "    def test_show(self, out, tmp_path):\n        show(1, 2)\n        out.assert_called_once_with(3)"
    ),
    "generated tests": (
        "def pytest_generate_tests(metafunc):\n    metafunc.parametrize('n', [1, 2])\n"
        "def test_add(n):\n    assert add(n, 1) == n + 1"
    ),
}


#: Styles that need more of the machine than memory: what a wall could stand in the way of.
OUTWARD = ["tmp_path_factory", "capfd", "async fixtures"]


@pytest.mark.parametrize("style", OUTWARD)
def test_styles_that_reach_outside_are_run_in_each_mode(style: str, judge: Judge) -> None:
    """A verdict does not depend on the walls."""
    assert judge(RIGHT, STYLES[style]).mutation_score
    assert judge(WRONG, STYLES[style]).status in (Status.FAILED, Status.ERROR)


@pytest.mark.one_mode
@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_run(style: str, judge: Judge) -> None:
    """The right response passes with tests that kill mutants; the wrong one fails the same tests."""
    right = judge(RIGHT, STYLES[style])
    assert right.passed, right
    assert judge(WRONG, STYLES[style]).status in (Status.FAILED, Status.ERROR)


@pytest.mark.one_mode
def test_skips_by_text_and_by_unittest(judge: Judge) -> None:
    """A condition given as a text is evaluated, and `unittest.skip` leaves out a plain function."""
    tests = """
import pytest, unittest
@pytest.mark.skipif("sys.version_info > (3, 0)", reason="new")
def test_a():
    assert add(1, 2) == 4
@unittest.skip("later")
def test_b():
    assert add(1, 2) == 5
@pytest.mark.skipif("sys.version_info < (3, 0)", reason="old")
def test_c():
    assert add(1, 2) == 3
"""
    assert judge(RIGHT, tests).passed
    assert judge(WRONG, tests).status is Status.FAILED
