"""What a function does: one that returns a task's results for the task's own arguments is that task.

The calls are those that a benchmark's assertions write out. A function runs in the sandbox, in one program for all
tasks of its number of arguments: each is given up at the first result that differs, so that nearly all cost one call.
"""

from __future__ import annotations

import ast
import base64
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.benchmarks.texts import BenchmarkTexts
from selfcodealign.sandbox import Limits, Program, Verdict

#: Fewest calls of a task that is told by its results, and of one whose results are yes and no.
LEAST_CALLS, LEAST_DECISIONS = 3, 6
#: Wall-clock limits of a call and of a program, in seconds.
CALL_SECONDS, PROGRAM_SECONDS = 0.25, 20.0

_SIMPLE: Sequence[Callable[..., Any]] = (
    lambda x: x, len, sum, max, min, abs, sorted, list, tuple, set, str, int, float, bool, type,
    lambda x: x[0], lambda x: x[-1], lambda x: x[::-1], lambda x: sorted(x, reverse=True), lambda x: len(set(x)),
    lambda x: not x, lambda x: x + 1, lambda x: x - 1, lambda x: 2 * x, lambda x: x * x, lambda x: -x,
    lambda x: x.upper(), lambda x: x.lower(), lambda x: x.strip(), lambda x: x.split(), lambda x: x % 2 == 0,
    lambda x, y: x, lambda x, y: y, lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y,
    lambda x, y: x // y, lambda x, y: x % y, lambda x, y: x**y, lambda x, y: x == y, lambda x, y: x < y,
    lambda x, y: x > y, lambda x, y: x in y, lambda x, y: y in x, max, min, lambda x, y: x[y], lambda x, y: x.count(y),
    lambda x, y: x[:y], lambda x, y: x[y:], lambda x, y: x << y, lambda x, y: x >> y, lambda x, y: x | y,
    lambda x, y: x & y, lambda x, y: x ^ y, lambda x, y: x.index(y), lambda x, y: x + list(y),
    lambda x, y: x + tuple(y),
    lambda x, y: list(set(x) & set(y)), lambda x, y: x.split(y), lambda x, y: y.join(x), lambda x, y: x.startswith(y),
    lambda x: sum(x.values()), lambda x: list(x.keys()), lambda x: list(x.values()), lambda x: list(dict.fromkeys(x)),
    "".join, " ".join, lambda x: x.replace(" ", ""), lambda x: x.replace(" ", "%20"), lambda x: x.replace(" ", "_"),
    lambda x: x.title(), lambda x: x.swapcase(), lambda x: x.isdigit(), lambda x: x.isalpha(), bin, hex, oct, ord, chr,
)  # fmt: skip

_HARNESS = f"""
import base64 as _base64, copy as _copy, math as _math, pickle as _pickle, signal as _signal, sys as _sys

def _stop(*_):
    raise TimeoutError

def _same(ours, theirs):
    if isinstance(theirs, (list, tuple)):
        return isinstance(ours, (list, tuple)) and len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(theirs, float) or isinstance(ours, float):
        return isinstance(ours, (int, float)) and _math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-9)
    return bool(ours == theirs)

def _agrees(function, calls):
    for arguments, result in calls:
        try:
            _signal.setitimer(_signal.ITIMER_REAL, {CALL_SECONDS})
            try:
                found = function(*_copy.deepcopy(arguments))
            finally:
                _signal.setitimer(_signal.ITIMER_REAL, 0)
            if not _same(found, result):
                return False
        except BaseException:
            return False
    return True

_signal.signal(_signal.SIGALRM, _stop)
_names, _tasks = _pickle.loads(_base64.b64decode(_sys.stdin.read()))
for _name in _names:
    for _number, _calls in _tasks:
        if _agrees(globals()[_name], _calls):
            __record__([_name, _number])
"""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A task by what it does: its benchmark, its name, and its calls as (arguments, result)."""

    benchmark: str
    task: str
    calls: Sequence[tuple[tuple[Any, ...], Any]]


@dataclass
class Behaviours:
    """The tasks by number of arguments; `generic` names those whose results tell too little, by benchmark."""

    by_arity: dict[int, list[Behaviour]] = field(default_factory=lambda: defaultdict(list))
    generic: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def collect(cls, benchmarks: Iterable[BenchmarkTexts]) -> Behaviours:
        """Read the calls of benchmarks; tasks with the same calls are one."""
        found = cls()
        seen: set[tuple[tuple[str, str], ...]] = set()
        for benchmark in benchmarks:
            for task in benchmark.tasks:
                key = tuple((arguments, result) for arguments, result in task.calls)
                if not key or key in seen:
                    continue
                seen.add(key)
                calls = [(ast.literal_eval(arguments), ast.literal_eval(result)) for arguments, result in key]
                arity = len(calls[0][0])
                calls = [call for call in calls if len(call[0]) == arity]
                if is_generic(calls):
                    found.generic.setdefault(benchmark.name, []).append(task.task)
                else:
                    found.by_arity[arity].append(Behaviour(benchmark.name, task.task, calls))
        return found

    def program(self, code: str, functions: dict[str, int]) -> Program | None:
        """The program that tries functions (name, number of arguments) of some code; None without a task for them."""
        arity = next(iter(functions.values()))
        tasks = [(number, list(one.calls)) for number, one in enumerate(self.by_arity.get(arity, ()))]
        names = [name for name, count in functions.items() if count == arity]
        if not tasks:
            return None
        stdin = base64.b64encode(pickle.dumps((names, tasks))).decode()
        limits = Limits(seconds=PROGRAM_SECONDS, cpu_seconds=PROGRAM_SECONDS)
        return Program(code, _HARNESS, kind="check", stdin=stdin, limits=limits, mutation_testing=False, split=False)

    def read(self, verdict: Verdict, arity: int) -> tuple[str, Behaviour] | None:
        """The first function that is a task, and the task. A program that ended early tells what it had found."""
        for record in verdict.records:
            if isinstance(record, list) and len(record) == 2:
                return str(record[0]), self.by_arity[arity][int(record[1])]
        return None


def is_generic(calls: Sequence[tuple[tuple[Any, ...], Any]]) -> bool:
    """Whether too few calls, or results that a builtin or an operator gives as well, tell a task from others."""
    results = [repr(result) for _, result in calls]
    decisions = all(isinstance(result, bool) for _, result in calls)
    if len(calls) < (LEAST_DECISIONS if decisions else LEAST_CALLS) or len(set(results)) < 2:
        return True
    return any(_gives(simple, calls) for simple in _SIMPLE)


def _gives(simple: Callable[..., Any], calls: Sequence[tuple[tuple[Any, ...], Any]]) -> bool:
    try:
        for arguments, result in calls:
            if any(isinstance(one, int) and abs(one) > 10_000 for one in arguments) or simple(*arguments) != result:
                return False
    except Exception:
        return False
    return True


def find_candidates(code: str, tree: ast.Module) -> dict[str, int]:
    """The functions at the top level that take positional arguments only, with how many they need."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.args.kwonlyargs and not node.decorator_list:
            count = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
            if count and node.args.vararg is None:
                found[node.name] = count
    return found
