"""All benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks import Benchmark
from selfcodealign.benchmarks.bigcodebench import BigCodeBench
from selfcodealign.benchmarks.canitedit import CanItEdit
from selfcodealign.benchmarks.classeval import ClassEval
from selfcodealign.benchmarks.cruxeval import CruxEval
from selfcodealign.benchmarks.ds1000 import Ds1000
from selfcodealign.benchmarks.evalperf import EvalPerf
from selfcodealign.benchmarks.evoeval import SETS, EvoEval
from selfcodealign.benchmarks.humaneval import HumanEval
from selfcodealign.benchmarks.livecodebench import LiveCodeBench
from selfcodealign.benchmarks.mbpp import Mbpp
from selfcodealign.benchmarks.tiny_eval import TinyEval
from selfcodealign.errors import BenchmarkError, did_you_mean

BENCHMARKS: dict[str, Callable[[], Benchmark[Any]]] = {
    "humaneval": lambda: HumanEval(plus=False),
    "humaneval+": lambda: HumanEval(plus=True),
    "mbpp": lambda: Mbpp(plus=False),
    "mbpp+": lambda: Mbpp(plus=True),
    **{f"evoeval-{subset.replace('_', '-')}": (lambda subset=subset: EvoEval(subset)) for subset in SETS},
    "livecodebench": LiveCodeBench,
    "ds1000": Ds1000,
    "classeval": ClassEval,
    "canitedit": CanItEdit,
    "evalperf": EvalPerf,
    "bigcodebench": lambda: BigCodeBench(hard=False),
    "bigcodebench-hard": lambda: BigCodeBench(hard=True),
    "cruxeval-i": lambda: CruxEval("input"),
    "cruxeval-o": lambda: CruxEval("output"),
    "tiny-eval": TinyEval,
}


def find_benchmark(name: str) -> Benchmark[Any]:
    """Return the benchmark of this name. Raises `BenchmarkError` naming the closest one."""
    if name.startswith(("livecodebench-", "livecodebench@")):
        return LiveCodeBench(name)
    if name not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise BenchmarkError(f'no benchmark "{name}"{did_you_mean(name, BENCHMARKS)} (known: {known})')
    return BENCHMARKS[name]()
