"""The sandbox program that carries the judge: its data come on standard input, its report goes out as a record."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.sandbox import Limits, Program

if TYPE_CHECKING:
    from selfcodealign.sandbox import Verdict

#: What the sandbox's servers load beforehand. Programs know it as `benchmark_judge`, because the sandbox hides the
#: project's own modules from them; naming it all the same sends a program to a server that has loaded it.
JUDGE_MODULE = "selfcodealign.benchmarks.inside.session"
#: What those servers must be able to read: the judge and what it imports.
JUDGE_FOLDER = str(Path(__file__).resolve().parent)
_RESPONSE = f"""
if False:
    import {JUDGE_MODULE}
from benchmark_judge import run_session
"""
_TESTS = "run_session(__record__)\n"


def judge_program(kind: str, data: Mapping[str, Any], seconds: float) -> Program:
    """A program whose judge does `kind` of work on `data` (plain builtins) within `seconds`."""
    packed = base64.b64encode(pickle.dumps((kind, dict(data)))).decode("ascii")
    limits = Limits(seconds=seconds)
    return Program(response=_RESPONSE, tests=_TESTS, kind="check", stdin=packed, limits=limits, mutation_testing=False)


def read_report(verdict: Verdict) -> dict[str, Any] | None:
    """What the judge reported, or None when it could not: then the verdict says why, and nobody's answer is judged."""
    if not verdict.passed or not verdict.records or not isinstance(verdict.records[-1], dict):
        return None
    return verdict.records[-1]
