"""Imports by which tests mean their response, whatever they call its module."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status
from tests.support.judge import Judge

#: What a verdict says of a program does not depend on the wall around it.
pytestmark = pytest.mark.one_mode

RESPONSE = "import math\nSCALE = 2\ndef area(r):\n    return SCALE * math.floor(r)\ndef fetch():\n    return area(1)\n"
WRONG = RESPONSE.replace("SCALE * ", "SCALE + 5 + ")

IMPORTS = {
    "relative": "from .shapes import area\nassert area(3) == 6",
    "relative, from a package above": "from ..geometry.shapes import area\nassert area(3) == 6",
    "the module, relative": "from . import shapes\nassert shapes.area(3) == 6",
    "a module of a package": "import geometry.shapes\nassert geometry.shapes.area(3) == 6",
    "a module from a package": "from geometry import shapes\nassert shapes.area(3) == 6",
    "with what the response imports": "from shapes import area, math\nassert area(3) == 2 * math.floor(3.5)",
    "named like an installed module": "from test import area\nassert area(3) == 6",
    "an installed module's name": "import code\nassert code.area(3) == 6",
    "the patched module": (
        "from unittest.mock import patch\nwith patch('my_shapes.area', return_value=5) as fake:\n"
        "    assert fetch() == 5\nassert area(3) == 6"
    ),
    "reloaded": "import importlib, solution\nimportlib.reload(solution)\nassert solution.area(3) == 6",
    "its source": "import inspect\nassert 'math.floor' in inspect.getsource(area)\nassert area(3) == 6",
}


@pytest.mark.parametrize("way", IMPORTS)
def test_every_import_finds_the_response(way: str, judge: Judge) -> None:
    """The right response passes under the name that the tests expect; the wrong one fails."""
    right = judge(RESPONSE, IMPORTS[way])
    assert right.passed, right
    assert judge(WRONG, IMPORTS[way]).status is Status.FAILED


def test_a_library_that_may_be_missing_is_not_the_response(judge: Judge) -> None:
    """An import whose failure the tests handle fails when no such library is there."""
    tests = "try:\n    import missing_accelerator as fast\nexcept ImportError:\n    fast = None\n"
    assert judge(RESPONSE, f"{tests}assert fast is None\nassert area(3) == 6").passed


def test_an_installed_module_keeps_its_own_names(judge: Judge) -> None:
    """A name that an installed module has is imported from there, also when the response defines it."""
    response = "def mean(values):\n    return 0\ndef area(r):\n    return 2 * r\n"
    assert judge(response, "from statistics import mean\nassert mean([1, 3]) == 2\nassert area(3) == 6").passed
