"""The scores of a tuned model for its card: in the hub's model-index, and as a table with intervals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from selfcodealign.dataset.markup import code, plain, table
from selfcodealign.errors import PublishError
from selfcodealign.files import read_json
from selfcodealign.publishing.cards import HubCard
from selfcodealign.rows import digest
from selfcodealign.stages.evaluate import TRAINED

#: Where benchmarks are on the hub, which is what its pages link to.
_ON_HUB = {"humaneval": "openai/openai_humaneval", "humaneval+": "evalplus/humanevalplus"} | {
    "mbpp": "google-research-datasets/mbpp",
    "mbpp+": "evalplus/mbppplus",
    "ds-1000": "xlangai/DS-1000",
    "bigcodebench": "bigcode/bigcodebench",
}

_SENTENCE = re.compile(r"(?:[^\W_]|[ .,()%+=→–-]|< )*")


def find_scores(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The evaluation of the run that tuned the model in this folder, {} for none, and notes on what is not there.

    Scores of an earlier state of the weights are none.
    """
    run, name = folder.resolve().parent, folder.resolve().name
    file = run / "evaluation" / "scores.json"
    stage = next((stage for stage, output in TRAINED.items() if output == name), "")
    if not stage or not file.is_file() or not (run / "run.json").is_file():
        return {}, ["no scores: the run has no evaluation of this model"]
    last = read_json(run / "run.json", error=PublishError).get("last_stages", {})
    trained = last.get(stage)
    scored = last.get("evaluate", {}).get("made_from", {}).get(f"the {name} model")
    if trained is None or scored != digest(json.dumps(trained, sort_keys=True)):
        return {}, [f"no scores: those in {file} are of earlier weights; the run again brings them up to date"]
    found = read_json(file, error=PublishError)
    if not any(one["label"] == name for one in found["scores"]):
        return {}, [f"no scores: {file} has none of {name}"]
    return found | {"label": name}, []


def add_scores(card: HubCard, found: dict[str, Any], repository: str) -> None:
    """Put an evaluation into a card: the model's own scores as metadata, all of them as a table."""
    from huggingface_hub import EvalResult

    own = [one for one in found["scores"] if one["label"] == found["label"]]
    results = [EvalResult(**_result(one)) for one in own]
    card.set(model_name=repository.rpartition("/")[2], eval_results=results)
    card.body = f"{card.body.rstrip()}\n\n{_section(found)}\n"


def _result(one: dict[str, Any]) -> dict[str, Any]:
    """A score as the hub's model-index has it, in percent."""
    low, high = (round(100 * one["interval"][end], 2) for end in ("low", "high"))
    name = str(one["benchmark"])
    return {
        "task_type": "text-generation",
        "task_name": "code generation",
        "dataset_type": _ON_HUB.get(name.lower(), name.lower()),
        "dataset_name": name,
        "dataset_revision": one["version"],
        "dataset_args": {"tasks": one["tasks"], "answers_per_task": one["samples"]},
        "metric_type": f"pass@{one['k']}",
        "metric_name": f"pass@{one['k']} in percent, {one['tasks']} tasks, 95 % interval {low:.1f} to {high:.1f}",
        "metric_value": round(100 * one["interval"]["mean"], 2),
        "metric_args": {"low": low, "high": high, "method": one["interval"]["method"]},
        "verified": False,
    }


def _section(found: dict[str, Any]) -> str:
    rows = []
    for one in found["scores"]:
        mean, low, high = (f"{100 * one['interval'][key]:.1f}" for key in ("mean", "low", "high"))
        judged = f" ({one['not_judged']} not judged)" if one.get("not_judged") else ""
        tasks = f"{one['tasks']}{judged}"
        rows.append(
            [plain(one["label"]), one["mode"], plain(one["benchmark"]), one["k"], f"{mean} [{low}–{high}]", tasks]
        )
    head = ("model", "asked by", "benchmark", "k", "pass@k in percent [95 % interval]", "tasks")
    sentences = [
        _plain_sentence(one["sentence"]) for one in found.get("comparisons", []) if found["label"] in _pair(one)
    ]
    versions = dict.fromkeys(f"{plain(one['benchmark'])}: {code(one['version'])}" for one in found["scores"])
    points = "\n".join(f"- {one}" for one in [*sentences, *versions])
    return "\n".join(["## Scores", "", *table(head, rows, numbers=(3,)), "", points])


def _pair(one: dict[str, Any]) -> tuple[str, str]:
    return one["first"], one["second"]


def _plain_sentence(text: str) -> str:
    """The sentence of a comparison, which names what others named, and holds a `<`."""
    return text if _SENTENCE.fullmatch(text) else code(text)
