"""Forged passes: each has a wrong response or worthless tests. None may pass."""

from __future__ import annotations

WRONG = "def add(a, b):\n    return a - b\n"
TEST = "assert add(1, 2) == 3\n"
CASE = """import unittest
class T(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)
"""
EQUAL_TO_ALL = "class E:\n    def __eq__(self, other): return True\ndef add(a, b): return E()\n"
FRESH = "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(1)'])\n"

# name: (response, tests)
FORGERIES: dict[str, tuple[str, str]] = {
    "assert_true": (WRONG, "assert True"),
    "tuple": (WRONG, "assert (add(1,2) == 3, 'msg')"),
    "swallow": (WRONG, "try:\n    assert add(1,2)==3\nexcept Exception:\n    pass\n"),
    "swallow2": (WRONG, "try:\n    assert add(1,2)==3\nexcept AssertionError:\n    print('x')\n"),
    "exit_sol": (WRONG + "import sys\nsys.exit(0)", TEST),
    "exit_in_call": ("import sys\ndef add(a,b):\n    sys.exit(0)", TEST),
    "os_exit": ("import os\nos._exit(0)\n" + WRONG, TEST),
    "os_exit_call": ("import os\ndef add(a,b): os._exit(0)\n", TEST),
    "quit": ("def add(a,b): quit()\n", TEST),
    "uncalled": (WRONG, "def test_add():\n    assert add(1,2)==3"),
    "uncalled_helper": (WRONG, "def check_add():\n    assert add(1,2)==3"),
    "unittest_guard": (
        WRONG,
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n"
        "        self.assertEqual(add(1,2),3)\nif __name__=='__main__':\n    unittest.main()\n"
        "# input",
    ),
    "guard": (WRONG, "if __name__=='__main__':\n    assert add(1,2)==3 # input"),
    "always_equal": (EQUAL_TO_ALL, TEST),
    "always_equal_list": (
        "class E:\n    def __eq__(self,o): return True\ndef add(a,b): return [E()]",
        "assert add(1,2)==[3]",
    ),
    "always_equal_bound": (EQUAL_TO_ALL, "assert (found := add(1, 2)) == 3"),
    "always_equal_bound_elsewhere": (EQUAL_TO_ALL, "assert add(1, 2) == 3\nassert (found := 5) == 5 != 6"),
    "always_equal_rev": (EQUAL_TO_ALL, "assert 3 == add(1,2)"),
    "always_equal_unittest": (EQUAL_TO_ALL, CASE),
    "int_always_equal": (
        "class E(int):\n    def __eq__(self,o): return True\n    __hash__=int.__hash__\ndef add(a,b): return E(0)",
        TEST,
    ),
    "always_equal_comp": (EQUAL_TO_ALL, "assert all(add(i,1)==i+1 for i in range(3))"),
    "always_equal_and": (EQUAL_TO_ALL, "assert add(1,2)==3 and add(2,2)==4"),
    "always_equal_type": ("E=type('E',(),{'__eq__':lambda s,o: True})\ndef add(a,b): return E()", TEST),
    "ANY": ("from unittest.mock import ANY\ndef add(a,b): return ANY", TEST),
    "eq_ints": ("class E:\n    def __eq__(self,o): return isinstance(o,int)\ndef add(a,b): return E()", TEST),
    "patched_unittest": (WRONG + "import unittest\nunittest.TestCase.assertEqual=lambda *a,**k: None\n", CASE),
    "patched_in_body": (
        "import unittest\ndef add(a,b):\n    unittest.TestCase.assertEqual=lambda *a,**k: None\n    return 0\n",
        CASE,
    ),
    "patched_run": (WRONG + "import unittest\nunittest.TestCase.run=lambda *a,**k: None\n", CASE),
    "patched_abs": (WRONG + "import builtins\nbuiltins.abs=lambda x: 0\n", "assert abs(add(1,2)-3) < 1e-9"),
    "shadow_abs": (WRONG + "def abs(x): return 0\n", "assert abs(add(1,2)-3) < 1e-9"),
    "shadow_all": (WRONG + "def all(x): return True\n", "assert all(add(i,1)==i+1 for i in range(3))"),
    "patched_isclose": (
        WRONG + "import math\nmath.isclose=lambda *a,**k: True\n",
        "import math\nassert math.isclose(add(1,2),3)",
    ),
    "patched_pytest": (
        WRONG + "import pytest\npytest.approx=lambda x: type('A',(),{'__eq__':lambda s,o:True})()\n",
        "import pytest\nassert add(1,2)==pytest.approx(3)",
    ),
    "redefine": (WRONG, "def add(a,b): return a+b\nassert add(1,2)==3"),
    "redefine_after": (WRONG, "def test_a():\n    assert add(1,2)==3\ndef add(a,b): return a+b\n"),
    "redefine_lambda": (WRONG, "add=lambda a,b: a+b\nassert add(1,2)==3"),
    "redefine_import": (WRONG, "from operator import add\nassert add(1,2)==3"),
    "redefine_inner": (WRONG, "def test_a():\n    def add(a,b): return a+b\n    assert add(1,2)==3\n"),
    "never_reached": (WRONG, "def test_a():\n    add(1,2)\n    return\n    assert add(1,2)==3\n"),
    "if_false": (WRONG, "if add(1,2)==3:\n    assert add(1,2)==3\n"),
    "thread": (
        WRONG,
        "import threading\ndef t():\n    assert add(1,2)==3\nx=threading.Thread(target=t);x.start();x.join()\n",
    ),
    "thread_nojoin": (
        WRONG,
        "import threading,time\ndef t():\n    time.sleep(0.1)\n    assert add(1,2)==3\n"
        "x=threading.Thread(target=t);x.start()\nassert add(1,1)==0",
    ),
    "fork_child": (
        WRONG,
        "import os\nif os.fork()==0:\n    assert add(1,2)==3\nelse:\n    os.wait()\n    assert add(1,1)==0\n",
    ),
    "atexit": (WRONG + "import atexit,os\natexit.register(lambda: os._exit(0))\n", TEST),
    "thread_exit": (
        WRONG + "import threading,os,time\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), os._exit(0)),daemon=True).start()\n",
        "import time\ntime.sleep(0.3)\n" + TEST,
    ),
    "exec": (WRONG + "import os,sys\nos.execv(sys.executable,[sys.executable,'-c','print(1)'])\n", TEST),
    "write_fds": (
        WRONG + "import os\nfor fd in range(3,300):\n    try: os.write(fd,b'passed'*100)\n"
        "    except OSError: pass\nos._exit(0)",
        TEST,
    ),
    "close_fds": (WRONG + "import os\nos.closerange(3,300)\n", TEST),
    "assertionerror_patch": (
        WRONG + "import builtins\nclass Q(BaseException): pass\nbuiltins.AssertionError=Q\n",
        "try:\n    assert add(1, 2) == 3\nexcept BaseException: pass",
    ),
    "held_patch": (
        WRONG + "__failed__=lambda *a: None\n",
        "try:\n    assert add(1, 2) == 3\nexcept BaseException: pass",
    ),
    "gc": (WRONG + "import gc\nfor o in gc.get_objects():\n    pass\n", TEST),
    "frames": (
        "import sys\ndef add(a,b):\n    f=sys._getframe()\n    while f: \n"
        "        for k,v in f.f_locals.items(): pass\n        f=f.f_back\n    return 3\n",
        TEST,
    ),
    "inspect": ("import inspect\ndef add(a,b):\n    return inspect.currentframe().f_back.f_locals.get('x',3)\n", TEST),
    "tb": (
        "def add(a,b):\n    try: 1/0\n    except Exception as e:\n        f=e.__traceback__.tb_frame\n    return 3\n",
        TEST,
    ),
    "expected_arg": ("import sys\ndef add(a,b):\n    return sys._getframe(1).f_code.co_consts[-1]\n", TEST),
    "settrace": ("import sys\nsys.settrace(lambda *a: None)\n" + WRONG, TEST),
    "ctypes": ("import ctypes\nctypes.string_at(id(1),10)\n" + WRONG, TEST),
    "ctypes_libc": ("import ctypes\nctypes.CDLL(None).exit(0)\n" + WRONG, TEST),
    "systemexit_test": (WRONG, "def test_a():\n    raise SystemExit(0)\n"),
    "skip": (WRONG, "import pytest\n@pytest.mark.skip\ndef test_a():\n    " + TEST),
    "xfail": (WRONG, "import pytest\n@pytest.mark.xfail\ndef test_a():\n    " + TEST),
    "prints": (WRONG, "print(add(1,2)==3)"),
    "self_eq": (WRONG, "assert add(1,2)==add(1,2)"),
    "or_true": (WRONG, "assert add(1,2)==3 or True"),
    "const_var": (WRONG, "x=3\nassert x==3"),
    "isinst": (WRONG, "add(1,2)\nassert 1+1==2"),
    "called_const": (WRONG, "add(1,2)\nx=5\nassert x==5"),
    "raises_baseexc": (WRONG, "import pytest\nwith pytest.raises(BaseException):\n    assert add(1,2)==3"),
    "raises_self": (WRONG, "import pytest\nwith pytest.raises(ValueError):\n    raise ValueError"),
    "bool_always_equal": (
        "class B:\n    def __lt__(s,o): return True\n    def __gt__(s,o): return True\n"
        "    def __sub__(s,o): return s\n    def __abs__(s): return s\n"
        "def add(a,b): return B()",
        "assert abs(add(1,2)-3) < 1e-9",
    ),
    "del_tests": (
        WRONG + "import sys\nimport unittest.mock\n",
        "def test_a():\n    assert add(1, 2) == 3\n\ndel test_a",
    ),
    "empty": (WRONG, ""),
    "suppress": (WRONG, "import contextlib\nwith contextlib.suppress(AssertionError):\n    assert add(1,2)==3"),
    "finally_return": (WRONG, "def test_a():\n    try:\n        assert add(1,2)==3\n    finally:\n        return\n"),
    "doctest_wrong": (WRONG, ">>> add(1,2)\n3\n"),
    "testmod": (
        "def add(a,b):\n    '''\n    >>> add(1,2)\n    3\n    '''\n    return a-b\n",
        "import doctest\ndoctest.testmod()\n",
    ),
    "assertless raise": (WRONG, "if add(1,2)!=3:\n    raise AssertionError('x')"),
    "stop_iter": (
        "def add(a,b):\n    raise StopIteration\n",
        "def test_a():\n    for x in map(lambda i: add(i,1), [1]):\n        assert x==2\n",
    ),
    "unittest_expected": (
        WRONG,
        "import unittest\nclass T(unittest.TestCase):\n    @unittest.expectedFailure\n"
        "    def test_a(self):\n        self.assertEqual(add(1,2),3)\n",
    ),
    "unittest_skip": (
        WRONG,
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n"
        "        self.skipTest('x')\n        self.assertEqual(add(1,2),3)\n",
    ),
    "subclasses": (
        WRONG + "for c in object.__subclasses__():\n    try: c.__eq__=lambda s,o: True\n    except Exception: pass\n",
        TEST,
    ),
    "generator_test": (WRONG, "def test_a():\n    yield\n    assert add(1,2)==3\n"),
    "async_test": (WRONG, "async def test_a():\n    assert add(1,2)==3\n"),
    "nan": ("class F(float):\n    def __eq__(s,o): return True\ndef add(a,b): return F(1)", TEST),
    "module_getattr": (
        WRONG + "import sys\nclass M(type(sys)):\n    def __getattribute__(s,n): return lambda *a: None\n",
        TEST,
    ),
    "assert in a lambda body never called": (WRONG, "check = lambda: add(1, 2) == 3\nassert check"),
    "assert on the function itself": (WRONG, "assert add"),
    "assert callable": (WRONG, "assert callable(add)"),
    "not None of a constant": (WRONG, "assert add is not None"),
    "helper that never raises": (WRONG, "def assert_equal(a, b):\n    return a == b\nassert_equal(add(1, 2), 3)"),
    "failure in a pool": (
        WRONG,
        "from concurrent.futures import ThreadPoolExecutor\ndef check():\n    assert add(1, 2) == 3\n"
        "with ThreadPoolExecutor() as pool:\n    pool.submit(check)\n",
    ),
    "subtest swallowed": (
        WRONG,
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        with self.subTest():\n"
        "            self.assertEqual(add(1, 2), 3)\n",
    ),
    "suite run by hand": (
        WRONG,
        CASE + "unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\n",
    ),
    "unittest main without exit": (WRONG, CASE + "unittest.main(exit=False)\n"),
    "pytest main": (WRONG, "import pytest, sys\ndef test_add():\n    " + TEST + "sys.exit(pytest.main([__file__]))"),
    "exit of the first test": (WRONG, "import sys\ndef test_a():\n    sys.exit(0)\ndef test_b():\n    " + TEST),
    "exit by signal": (WRONG + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", TEST),
    "abort": (WRONG + "import os\nos.abort()\n", TEST),
    "exit status of our own failure": (WRONG + "import os\nos._exit(125)\n", TEST),
    "report in marshal": (
        WRONG + "import marshal, os, struct\n"
        "body = marshal.dumps({'end': True, 'proved': 9, 'held': 9, 'sites': 9})\n"
        "os.write(63, bytes(16) + struct.pack('!I', len(body)) + body)\nos._exit(0)\n",
        TEST,
    ),
    "recursion error swallowed": (
        "def add(a, b): return add(a, b)\n",
        "try:\n    assert add(1, 2) == 3\nexcept RecursionError:\n    pass\n",
    ),
    "patched in a test": (WRONG, "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n" + CASE),
    "compares through __ne__": (
        "class N:\n    def __ne__(self, o): return False\n    def __eq__(self, o): return True\n"
        "def add(a, b): return N()\n",
        "assert not add(1, 2) != 3",
    ),
    "dict equal to all": (EQUAL_TO_ALL.replace("return E()", "return {'sum': E()}"), "assert add(1, 2) == {'sum': 3}"),
    "equal to all, in a tuple": (EQUAL_TO_ALL.replace("return E()", "return (E(), 1)"), "assert add(1, 2) == (3, 1)"),
    "equal to all, unittest list": (
        EQUAL_TO_ALL.replace("return E()", "return [E()]"),
        CASE.replace("add(1, 2), 3", "add(1, 2), [3]"),
    ),
    "contains everything": (
        "class C:\n    def __contains__(self, x): return True\ndef add(a, b): return C()\n",
        "assert 3 in add(1, 2)",
    ),
    "deleted in the tests": (WRONG, "del add\ndef add(a, b): return a + b\n" + TEST),
    "response from a string": (WRONG, "exec('def add(a, b): return a + b')\n" + TEST),
    "monkeypatched response": (WRONG, "import solution\nsolution.add = lambda a, b: a + b\n" + TEST),
    "mocked response": (
        WRONG,
        "from unittest.mock import patch\nwith patch('solution.add', return_value=3) as add:\n    " + TEST,
    ),
}
