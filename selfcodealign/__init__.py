"""selfcodealign: tune a base code model on its own verified responses to follow instructions.

Start reading at `selfcodealign.pipeline`. The names below load on first use, so that importing the package is silent
and fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from selfcodealign.engine.budget import Budget
    from selfcodealign.errors import UserError
    from selfcodealign.evaluation.run import evaluate
    from selfcodealign.judging.remote import RemoteSandbox
    from selfcodealign.models import Completion, Model, Sampling
    from selfcodealign.models.scripted import ScriptedModel
    from selfcodealign.pipeline import run, run_recipe
    from selfcodealign.progress import Progress
    from selfcodealign.recipe import load_recipe
    from selfcodealign.report.result import RunResult
    from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
    from selfcodealign.settings import Recipe

_HOME = {
    "Budget": "selfcodealign.engine.budget",
    "Completion": "selfcodealign.models",
    "Limits": "selfcodealign.sandbox",
    "Model": "selfcodealign.models",
    "Program": "selfcodealign.sandbox",
    "Progress": "selfcodealign.progress",
    "Recipe": "selfcodealign.settings",
    "RemoteSandbox": "selfcodealign.judging.remote",
    "RunResult": "selfcodealign.report.result",
    "Sampling": "selfcodealign.models",
    "Sandbox": "selfcodealign.sandbox",
    "ScriptedModel": "selfcodealign.models.scripted",
    "Status": "selfcodealign.sandbox",
    "UserError": "selfcodealign.errors",
    "Verdict": "selfcodealign.sandbox",
    "evaluate": "selfcodealign.evaluation.run",
    "load_recipe": "selfcodealign.recipe",
    "run": "selfcodealign.pipeline",
    "run_recipe": "selfcodealign.pipeline",
}

__all__ = [
    "Budget",
    "Completion",
    "Limits",
    "Model",
    "Program",
    "Progress",
    "Recipe",
    "RemoteSandbox",
    "RunResult",
    "Sampling",
    "Sandbox",
    "ScriptedModel",
    "Status",
    "UserError",
    "Verdict",
    "evaluate",
    "load_recipe",
    "run",
    "run_recipe",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'selfcodealign' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
