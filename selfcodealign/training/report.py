"""The report of a training (curves, proof of what is learned from, figures), and the model card."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from selfcodealign.dataset.markup import block, code, front_matter, one_line, plain, table
from selfcodealign.errors import TrainingError
from selfcodealign.files import write_json, write_text
from selfcodealign.training.curves import draw_curve
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.figures import tell_figures
from selfcodealign.training.hub_name import name_on_hub
from selfcodealign.training.output import REPORT, as_json

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 1.5rem auto; padding: 0 1rem;
       color: #1f2328; background: #fff; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
th { overflow-wrap: normal; }
pre { white-space: pre-wrap; background: #f6f8fa; padding: .8rem; border-radius: 6px; font-size: 13px; }
mark { background: #b9e6c9; color: inherit; border-radius: 2px; } .note, figcaption { color: #57606a; }
@media (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117; } pre { background: #161b22; }
  mark { background: #1f5c39; } .note, figcaption { color: #9da7b3; } }
"""

#: Field of a step, its name, and what the picture shows.
_CURVES = (
    ("loss", "loss", "Loss of each step; the line is a moving mean."),
    ("margin", "reward margin", "Margin: by how much the model's reward of the chosen answers is above the rejected."),
    ("accuracy", "accuracy", "Accuracy: share of pairs whose chosen answer has the higher reward."),
    ("reward", "reward", "Reward: share of the sampled answers that passed."),
    ("kl", "KL", "Divergence (KL) from the model that the training began with, per token."),
    ("length", "tokens", "Mean length of the sampled answers, in tokens."),
    ("learning_rate", "learning rate", "Learning rate."),
    ("grad_norm", "gradient norm", "Gradient norm, before clipping."),
    ("tokens_per_second", "tokens/s", "Speed: mean since the training began or was resumed, padding left out."),
)
#: Curves that are drawn with a moving mean, because single steps scatter, and need not begin at 0.
_SMOOTH = ("loss", "margin", "accuracy", "reward", "kl", "length")


@dataclass(frozen=True)
class Wording:
    """How the page and the card of a method speak: of the loss, of the proof, and of the model."""

    proof: str
    marked: str
    card: str


_WORDING = {
    "sft": Wording(
        "Which tokens carry loss",
        "Decoded from the ids and labels that were trained on; <mark>marked</mark> text carries loss, the end token "
        "included.",
        "Fine-tuned with selfcodealign; loss on the answers only.",
    ),
    "dpo": Wording(
        "What is compared",
        "Decoded from the ids that were trained on; the log-probability of an answer is summed over "
        "<mark>marked</mark> text, the end token included.",
        "Trained with selfcodealign on pairs of a preferred and a rejected answer (DPO).",
    ),
    "grpo": Wording(
        "What the model was asked",
        "Prompts as the model reads them, with the task's own answer in <mark>marked</mark> text where there is one: "
        "it was judged before the first step.",
        "Trained with selfcodealign on verdicts: sampled answers ran against their task's tests (GRPO).",
    ),
}


def draw_curves(steps: list[dict[str, float]], last: int) -> dict[str, str]:
    """Draw one picture for each field of `steps` that has finite values; `last` is the last step."""
    found = {}
    for field, name, _ in _CURVES:
        points = [(int(step["step"]), step[field]) for step in steps if field in step]
        if field == "loss" or any(math.isfinite(value) for _, value in points):
            smooth = field in _SMOOTH
            found[field] = draw_curve(points, last, name, from_zero=not smooth, smooth=smooth)
    return found


def write_report(
    out: Path, result: TrainResult, steps: list[dict[str, float]], proof: Proof, about: dict[str, Any]
) -> None:
    """Write loss.svg, train_report.html, README.md and, last, train_report.json to `out`.

    `steps`: step, loss, learning_rate, grad_norm, tokens_per_second and the method's figures of every step; `about`:
    model, dataset, settings, split of the work over devices, versions; its `figures` are rows of the table.
    """
    curves = draw_curves(steps, result.steps)
    write_text(out / "loss.svg", curves["loss"], error=TrainingError)
    write_text(out / "train_report.html", _page(result, curves, proof, about), error=TrainingError)
    write_text(out / "README.md", _card(result, about), error=TrainingError)
    told = {
        "result": as_json(result),
        **about,
        "proof": [
            {"row": number, "name": proof.name(place), "pieces": [[one.text, one.loss, one.tokens] for one in row]}
            for place, (number, row) in enumerate(zip(proof.numbers, proof.rows, strict=True))
        ],
        "steps": steps,
    }
    write_json(out / REPORT, told, error=TrainingError)


def _page(result: TrainResult, curves: dict[str, str], proof: Proof, about: dict[str, Any]) -> str:
    figures = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in tell_figures(result, about).items())
    settings = "".join(f"<tr><th>{k}</th><td>{escape(str(v))}</td></tr>" for k, v in about["settings"].items())
    rows = "".join(
        f"<h3>{escape(_capital(proof.name(place)))}</h3><pre>"
        + "".join(f"<mark>{escape(piece.text)}</mark>" if piece.loss else escape(piece.text) for piece in row)
        + "</pre>"
        for place, row in enumerate(proof.rows)
    )
    wording = _WORDING[result.method]
    drawn = "".join(
        f"<figure>{curves[field]}<figcaption>{told}</figcaption></figure>"
        for field, _, told in _CURVES
        if field in curves
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Training of {escape(result.out.name)}</title><style>{_STYLE}</style>"
        f"<h1>Training of {escape(result.out.name)}</h1><table>{figures}</table>"
        f'<h2>Curves</h2><div class="curves">{drawn}</div>'
        f'<h2>{wording.proof}</h2><p class="note">{wording.marked}</p>{rows}'
        f"<h2>Settings</h2><table>{settings}</table></html>\n"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _written_by(about: dict[str, Any]) -> str:
    """Say which models wrote the data set, and that their terms apply besides those of the base model."""
    models = about.get("written_by") or []
    if not models:
        return ""
    names = " and ".join(map(code, models))
    others = [name for name in models if name != str(about["model"])]
    teacher = " A model other than the base wrote what it was tuned on: it is no self-alignment." if others else ""
    return (
        f"The texts of the data set were written by {names}. The licences and terms of the base model and of "
        f"{names} apply to this model.{teacher}"
    )


def _card(result: TrainResult, about: dict[str, Any]) -> str:
    metadata = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": name_on_hub(str(about["model"])),
        "tags": ["selfcodealign", "code"],
    }
    name = one_line(result.out.name)
    lines = [
        *front_matter(metadata),
        *("", f"# {plain(name)}", "", f"{_WORDING[result.method].card}", ""),
        *([_written_by(about), ""] if about.get("written_by") else []),
        *table(("", ""), [(key, plain(value)) for key, value in tell_figures(result, about).items()]),
        *("", "![loss](loss.svg)", "", "The tokenizer carries the chat template:", ""),
        *block(_EXAMPLE.replace("NAME", json.dumps(name)), "python"),
        "",
    ]
    return "\n".join(lines)


#: How the model is asked; NAME stands for its name in quotation marks.
_EXAMPLE = """
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForCausalLM.from_pretrained(NAME)
messages = [{"role": "user", "content": "Write a function that adds two numbers."}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=256)[0]))
"""
