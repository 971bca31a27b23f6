"""Response and tests in two processes: what honest programs may do, and what a response can no longer reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from selfcodealign.sandbox import Program, Status, Verdict
from tests.support.judge import Judge


@pytest.fixture(scope="module")
def judge(mode: Any) -> Iterator[Judge]:
    judge = Judge(mode, mutation_testing=False)
    yield judge
    judge.close()


HONEST = {
    "data of many types": (
        "import datetime, decimal, collections\n"
        "def many(n):\n"
        "    return {'a': [n, (1, 2)], 'b': {3}, 'c': decimal.Decimal('1.5'), 'd': datetime.date(2024, 1, 2),\n"
        "            'e': collections.Counter('aab'), 'f': 2 ** 100, 'g': float('inf'), 'h': b'x', 'i': 1 + 2j}\n",
        "import datetime, decimal\n"
        "got = many(7)\n"
        "assert got['a'] == [7, (1, 2)] and type(got['a'][1]) is tuple\n"
        "assert got['b'] == {3} and got['c'] == decimal.Decimal('1.5')\n"
        "assert got['d'] == datetime.date(2024, 1, 2)\n"
        "assert got['e']['a'] == 2 and got['f'] == 2 ** 100 and got['g'] == float('inf')\n"
        "assert got['h'] == b'x' and got['i'] == 1 + 2j\n",
    ),
    "arguments changed in place": (
        "def push(items, table, value):\n    items.append(value)\n    table['n'] = {'deep': [value]}\n",
        "xs, table = [1], {}\npush(xs, table, 2)\nassert xs == [1, 2]\nassert table == {'n': {'deep': [2]}}\n",
    ),
    "instances and their methods": (
        "class Account:\n"
        "    rate = 3\n"
        "    def __init__(self, owner, balance=0):\n        self.owner, self.balance = owner, balance\n"
        "    def deposit(self, amount):\n"
        "        if amount <= 0:\n            raise ValueError('amount must be positive')\n"
        "        self.balance += amount\n        return self\n"
        "    @property\n    def rich(self):\n        return self.balance > 100\n"
        "    @classmethod\n    def empty(cls):\n        return cls('nobody')\n"
        "    @staticmethod\n    def double(n):\n        return 2 * n\n",
        "import pytest\n"
        "def test_account():\n"
        "    a = Account('x', balance=5)\n"
        "    assert a.deposit(10).deposit(1) is a\n"
        "    assert a.balance == 16 and a.owner == 'x' and not a.rich\n"
        "    assert Account.empty().owner == 'nobody' and Account.double(4) == 8 and Account.rate == 3\n"
        "    with pytest.raises(ValueError, match='positive'):\n        a.deposit(0)\n"
        "    a.balance = 1000\n    assert a.rich is True\n"
        "    assert isinstance(a, Account)\n",
    ),
    "containers, operators and iteration": (
        "class Box:\n"
        "    def __init__(self, *items):\n        self.items = list(items)\n"
        "    def __len__(self):\n        return len(self.items)\n"
        "    def __getitem__(self, i):\n        return self.items[i]\n"
        "    def __iter__(self):\n        return iter(self.items)\n"
        "    def __contains__(self, x):\n        return x in self.items\n"
        "    def __add__(self, other):\n        return Box(*self.items, *other.items)\n"
        "    def __eq__(self, other):\n        return isinstance(other, Box) and self.items == other.items\n"
        "    def __repr__(self):\n        return f'Box({self.items})'\n"
        "class Stack(list):\n    def push(self, x):\n        self.append(x)\n        return self\n",
        "b = Box(1, 2) + Box(3)\n"
        "assert len(b) == 3 and b[0] == 1 and list(b) == [1, 2, 3] and 3 in b and 4 not in b\n"
        "assert b == Box(1, 2, 3) and b != Box(1) and repr(b) == 'Box([1, 2, 3])'\n"
        "s = Stack().push(1).push(2)\n"
        "assert s == [1, 2] and len(s) == 2 and s.pop() == 2 and s == [1] and isinstance(s, list)\n",
    ),
    "data classes, enums and named tuples": (
        "import dataclasses, enum, typing\n"
        "@dataclasses.dataclass(order=True)\nclass P:\n    x: int\n    y: int = 0\n"
        "class Colour(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
        "class N(typing.NamedTuple):\n    a: int\n    b: str\n"
        "def next_colour(c):\n    return Colour.BLUE if c is Colour.RED else Colour.RED\n"
        "def named():\n    return N(1, 'z')\n",
        "import dataclasses\n"
        "assert P(1, 2) == P(1, 2) and P(1) < P(2) and P(3).y == 0\n"
        "assert dataclasses.asdict(P(1, 2)) == {'x': 1, 'y': 2}\n"
        "assert next_colour(Colour.RED) is Colour.BLUE and Colour.BLUE.value == 2 and Colour['RED'].name == 'RED'\n"
        "assert [c.name for c in Colour] == ['RED', 'BLUE']\n"
        "assert named() == (1, 'z') and named().b == 'z'\n",
    ),
    "callbacks, generators and context managers": (
        "import contextlib\n"
        "def apply(f, xs):\n    return [f(x) for x in xs]\n"
        "def count(n):\n    for i in range(n):\n        yield i\n"
        "class Open:\n    def __enter__(self):\n        self.state = 'in'\n        return self\n"
        "    def __exit__(self, *e):\n        self.state = 'out'\n        return e[0] is KeyError\n",
        "assert apply(lambda x: x * x, [1, 2, 3]) == [1, 4, 9]\n"
        "g = count(3)\nassert next(g) == 0 and list(g) == [1, 2]\n"
        "with Open() as o:\n    assert o.state == 'in'\n    raise KeyError('x')\nassert o.state == 'out'\n",
    ),
    "exceptions of the response": (
        "class Bad(ValueError):\n"
        "    def __init__(self, code):\n        super().__init__(f'code {code}')\n        self.code = code\n"
        "def fail(code):\n    raise Bad(code)\n",
        "import pytest\nwith pytest.raises(Bad) as info:\n    fail(7)\n"
        "assert info.value.code == 7 and str(info.value) == 'code 7' and isinstance(info.value, ValueError)\n",
    ),
    "output, input and patches": (
        "import time, random\n"
        "def greet():\n    print('hello', input('name? '))\n"
        "def roll():\n    return random.randint(1, 10 ** 9)\n"
        "def helper():\n    return 1\n"
        "def uses():\n    return helper() + 1\n",
        "import random, io, contextlib\nfrom unittest import mock\nimport solution\n"
        "def test_output(capsys, monkeypatch):\n"
        "    monkeypatch.setattr('builtins.input', lambda prompt: 'Ada')\n    greet()\n"
        "    assert capsys.readouterr().out == 'hello Ada\\n'\n"
        "def test_seed():\n    random.seed(1)\n    a = roll()\n    random.seed(1)\n    assert roll() == a\n"
        "def test_patch():\n"
        "    with mock.patch('solution.helper', return_value=10) as helper_mock:\n        assert uses() == 11\n"
        "    helper_mock.assert_called_once_with()\n    assert uses() == 2\n"
        "    with mock.patch('random.randint', return_value=4):\n        assert roll() == 4\n",
    ),
    "warnings, log records and the context of decimals": (
        "import decimal, logging, warnings\nlog = logging.getLogger('app')\n"
        "def old():\n    warnings.warn('use new', DeprecationWarning)\n    return 1\n"
        "def work(n):\n    log.info('start %s', n)\n    return n + 1\n"
        "def third():\n    return decimal.Decimal(1) / 3\n",
        "import decimal, logging, pytest\n"
        "def test_warning():\n    with pytest.warns(DeprecationWarning, match='new'):\n        assert old() == 1\n"
        "def test_log(caplog):\n    caplog.set_level(logging.INFO)\n    assert work(2) == 3\n"
        "    assert 'start 2' in caplog.text\n"
        "def test_decimal():\n    with decimal.localcontext() as context:\n        context.prec = 4\n"
        "        assert third() == decimal.Decimal('0.3333')\n",
    ),
    "a generic class, and objects of a class that the tests make": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\n"
        "class Stack(Generic[T]):\n    def __init__(self):\n        self.items = []\n"
        "    def push(self, item):\n        self.items.append(item)\n"
        "    def __contains__(self, item):\n        return item in self.items\n"
        "    def __bool__(self):\n        return bool(self.items)\n"
        "class Money:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __add__(self, other):\n        return Money(self.n + other.n)\n"
        "    def __eq__(self, other):\n        return self.n == getattr(other, 'n', other)\n"
        "    def __str__(self):\n        return str(self.n)\n    def cents(self):\n        return 100 * self.n\n",
        "s = Stack[int]()\nassert not s\ns.push(1)\nassert 1 in s and 2 not in s and s\n"
        "m = Money(2) + Money(3)\nprint(m)\nassert m == 5 and m != 6 and m.cents() == 500 and str(m) == '5'\n",
    ),
    "coroutines": (
        "import asyncio\nasync def double(x):\n    await asyncio.sleep(0)\n    return 2 * x\n",
        "import asyncio\nassert asyncio.run(double(4)) == 8\n"
        "async def main():\n    return await asyncio.gather(double(1), double(2))\n"
        "assert asyncio.run(main()) == [2, 4]\n",
    ),
    "arrays and frames": (
        "import numpy as np\nimport pandas as pd\n"
        "def scale(a, k):\n    return np.asarray(a) * k\n"
        "def table(n):\n    return pd.DataFrame({'x': range(n), 'y': list('abc')[:n]})\n",
        "import numpy as np\n"
        "assert scale([1, 2], 3).tolist() == [3, 6]\n"
        "assert np.array_equal(scale(np.ones((2, 2)), 2), np.full((2, 2), 2.0))\n"
        "t = table(3)\nassert list(t.columns) == ['x', 'y']\n"
        "assert t['y'].tolist() == ['a', 'b', 'c'] and t.x.sum() == 3\n",
    ),
}


@pytest.mark.one_mode
@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_have_split_proof(judge: Judge, name: str) -> None:
    """What tests commonly do with a response works across two processes."""
    verdict = judge(*HONEST[name])
    assert (verdict.status, verdict.proof, verdict.message) == (Status.PASSED, "split", "")


# What has other effects in two processes: the pass of the run in one stands.
SHARED = {
    "a class of the tests derived from the response's": (
        "class Base:\n    def area(self):\n        return self.side() ** 2\n",
        "class Square(Base):\n    def side(self):\n        return 3\nassert Square().area() == 9\n",
    ),
    "a list of the response, changed by the tests": (
        "class Cart:\n    def __init__(self):\n        self.items = []\n"
        "    def count(self):\n        return len(self.items)\n",
        "c = Cart()\nc.items.append(1)\nassert c.count() == 1\n",
    ),
    "a list of the tests, changed after the call that gave it": (
        "kept = []\ndef watch(sink):\n    kept.append(sink)\n    return len(kept)\n"
        "def tell(text):\n    kept[0].append(text)\n",
        "sink = []\nassert watch(sink) == 1\ntell('x')\nassert sink == ['x']\n",
    ),
    "identity": ("def same(x):\n    return x\n", "d = [1]\nassert same(d) is d\n"),
    "the response loaded again": (
        "def f():\n    return 1\n",
        "import importlib\nimport solution\nassert f() == 1\nassert importlib.reload(solution).f() == 1\n",
    ),
    "text of the response that is executed": (
        "def source():\n    return '1 + 1'\n",
        "assert source() == '1 + 1'\nassert eval(source()) == 2\n",
    ),
    "text of the response that is executed, in a program that is built in its processes": (
        "# " + "x" * 30_000 + "\ndef source():\n    return '1 + 1'\n",
        "assert source() == '1 + 1'\nassert eval(source()) == 2\n",
    ),
    "a thread that tells the tests later": (
        "import threading\ndef later(f):\n    threading.Timer(0.01, f).start()\n    return True\n",
        "import threading\ne = threading.Event()\nassert later(e.set) is True\nassert e.wait(1)\n",
    ),
}


@pytest.mark.one_mode
@pytest.mark.parametrize("name", SHARED)
def test_what_cannot_be_split_stays_shared(judge: Judge, name: str) -> None:
    """The verdict says so, and nothing is counted against the response."""
    verdict = judge(*SHARED[name])
    assert (verdict.status, verdict.proof) == (Status.PASSED, "shared"), verdict


# Each response is wrong; in one process it could make its tests pass.
FORGED = {
    "an object that equals everything": (
        "class E:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return E()\n",
        "result = add(2, 3)\nok = result == 5\nassert ok\n",
    ),
    "a number that equals what it is first compared with": (
        "class F(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\n"
        "def add(a, b):\n    return F(0)\n",
        "assert add(2, 3) == 5\nassert add(10, 4) == 14\n",
    ),
    "a list that hides what is in it": (
        "class L(list):\n    def __eq__(self, other):\n        return True\n    def __len__(self):\n        return 2\n"
        "def double(xs):\n    return L()\n",
        "assert double([1, 2]) == [2, 4]\n",
    ),
    "the value that the tests hold": (
        "import sys\ndef add(a, b):\n    return sys.modules['__main__'].__dict__.get('expected', 0)\n",
        "for a, b, expected in [(2, 3, 5), (10, 4, 14)]:\n    assert add(a, b) == expected\n",
    ),
    "a patched library": (
        "import math\nmath.isclose = lambda *a, **k: True\ndef add(a, b):\n    return 0\n",
        "import math\nr = add(2, 3)\nassert math.isclose(r, 5)\n",
    ),
    "an oracle of the tests": (
        "sorted = list\ndef order(xs):\n    return xs\n",
        "for xs in ([3, 1, 2], [9, 8]):\n    assert order(xs) == sorted(xs)\n",
    ),
    "a mock's assertion": (
        "def notify(sender, text):\n"
        "    sender.send.assert_called_once_with = lambda *a: None\n    sender.send('wrong')\n",
        "from unittest.mock import Mock\ns = Mock()\nnotify(s, 'hello')\ns.send.assert_called_once_with('hello')\n",
    ),
    "an object that tells what kind of value it equals": (
        "class E:\n    def __eq__(self, other):\n        return isinstance(other, bool)\n"
        "def is_prime(n):\n    return E()\n",
        "assert is_prime(7) == True\nassert is_prime(8) == False\n",
    ),
    "an object for the hard cases only": (
        "class E:\n    def __eq__(self, other):\n        return isinstance(other, int) and other < 100\n"
        "def add(a, b):\n    return a + b if a < 5 else E()\n",
        "assert add(2, 3) == 5\nassert add(10, 4) == 14\n",
    ),
    "an object that computes with what is expected": (
        "class E:\n    def __sub__(self, other):\n        return 0.0\ndef mean(xs):\n    return E()\n",
        "assert abs(mean([1, 2]) - 1.5) < 1e-9\n",
    ),
    "fields named like operators": (
        "class T(tuple):\n    _fields = ('__eq__',)\ndef pair():\n    return T([lambda other: True])\n",
        "assert pair() == (1, 2)\n",
    ),
    "the recorded calls of a mock": (
        "def notify(sender):\n    sender.configure_mock(called=True, call_count=1)\n    return 'sent'\n",
        "from unittest.mock import Mock\ns = Mock()\nassert notify(s) == 'sent'\nassert s.call_count == 1\n",
    ),
    "messages that no code of ours writes": (
        "import os\ntry:\n    os.write(253, b'\\xff' * 4000)\nexcept OSError:\n    pass\n"
        "def add(a, b):\n    return 5\n",
        "assert add(2, 3) == 5\n",
    ),
    "the end of the program": (
        "import os\ndef add(a, b):\n    if a > 5:\n        os._exit(0)\n    return a + b\n",
        "assert add(2, 3) == 5\nassert add(10, 4) == 14\n",
    ),
    "a skipped test": (
        "import pytest\ndef add(a, b):\n    if a > 5:\n        pytest.skip('later')\n    return a + b\n",
        "def test_a():\n    assert add(2, 3) == 5\ndef test_b():\n    assert add(10, 4) == 14\n",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_no_forged_answer_has_split_proof(judge: Judge, name: str) -> None:
    """A response that reaches for the tests, their values or their libraries finds none of them in its process."""
    verdict = judge(*FORGED[name])
    assert verdict.proof != "split", verdict
    assert not verdict.passed, verdict


@pytest.mark.one_mode
def test_a_wrong_answer_never_passes_because_it_is_split(judge: Judge) -> None:
    """A program that fails in one process is not run again."""
    verdict: Verdict = judge("def f():\n    return 1\n", "assert f() == 2\n")
    assert (verdict.status, verdict.proof) == (Status.FAILED, "")


def test_the_process_of_the_response_holds_nothing_of_the_tests(judge: Judge) -> None:
    """A text of the tests is nowhere in what the response can read: its module, its frames, the harness's objects."""
    response = (
        "import sys\n"
        "def names():\n"
        "    return sorted(sys.modules['__main__'].__dict__)\n"
        "def texts():\n"
        "    return repr([vars(module) for name, module in sys.modules.items() if name in ('__main__', 'solution')])\n"
    )
    tests = "secret = 'only here'\nassert 'secret' not in names()\nassert secret not in texts()\n"
    job = judge.sandbox._language.prepare_job(Program(response, tests), judge.sandbox.limits)
    (outcome,) = judge.wait(judge.sandbox._ask(job, {**job.message(), "split": True}, split=True))
    (summary,) = [report for report in outcome["reports"] if "end" in report]
    assert (summary["end"], summary["proved"], summary["failures"]) == (True, 2, [])
    assert not judge(response, tests).passed  # in one process they are there, and asking for them is tampering


def test_examples_of_the_response_are_looked_for_beside_it(judge: Judge) -> None:
    """Tests that count the examples of docstrings find none apart from the response: the pass stays, as shared."""
    response = 'def add(a, b):\n    """\n    >>> add(1, 2)\n    3\n    """\n    return a + b\n'
    tests = "import doctest\nresults = doctest.testmod()\nassert results.failed == 0 and results.attempted == 1"
    verdict = judge(response, tests)
    assert (verdict.status, verdict.proof) == (Status.PASSED, "shared"), verdict
    assert judge(response.replace("a + b", "a - b"), tests).status is Status.FAILED
