"""Evaluates models on benchmarks: samples answers, judges them in the sandbox, scores, compares. See `run.evaluate`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfcodealign.evaluation.preparation import Candidate
    from selfcodealign.evaluation.run import evaluate
    from selfcodealign.evaluation.scoring import Evaluation

__all__ = ["Candidate", "Evaluation", "evaluate"]

_HOME = {
    "Candidate": "selfcodealign.evaluation.preparation",
    "Evaluation": "selfcodealign.evaluation.scoring",
    "evaluate": "selfcodealign.evaluation.run",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
