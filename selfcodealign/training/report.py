"""The report of a training (curves, proof of the loss mask, figures), and the model card."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError
from selfcodealign.files import write_json, write_text
from selfcodealign.training.curves import draw_curve
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.output import REPORT, as_json
from selfcodealign.training.weights import describe_dropouts

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
    ("loss", "loss", "Loss: mean over the tokens with loss of each step; the line is a moving mean."),
    ("learning_rate", "learning rate", "Learning rate."),
    ("grad_norm", "gradient norm", "Gradient norm, before clipping."),
    ("tokens_per_second", "tokens/s", "Speed: mean since the training began or was resumed, padding left out."),
)


def draw_curves(steps: list[dict[str, float]], last: int) -> dict[str, str]:
    """Draw one picture for each field of `steps` that has finite values; `last` is the last step."""
    found = {}
    for field, name, _ in _CURVES:
        points = [(int(step["step"]), step[field]) for step in steps if field in step]
        if field == "loss" or any(math.isfinite(value) for _, value in points):
            is_loss = field == "loss"
            found[field] = draw_curve(points, last, name, from_zero=not is_loss, smooth=is_loss)
    return found


def write_report(
    out: Path, result: TrainResult, steps: list[dict[str, float]], proof: Proof, about: dict[str, Any]
) -> None:
    """Write loss.svg, train_report.html, README.md and, last, train_report.json to `out`.

    `steps`: step, loss, learning_rate, grad_norm and tokens_per_second of every step; `about`: model, dataset,
    settings, split of the work over devices, versions.
    """
    curves = draw_curves(steps, result.steps)
    write_text(out / "loss.svg", curves["loss"], error=TrainingError)
    write_text(out / "train_report.html", _page(result, curves, proof, about), error=TrainingError)
    write_text(out / "README.md", _card(result, about), error=TrainingError)
    told = {
        "result": as_json(result),
        **about,
        "proof": [
            {"row": number, "pieces": [[piece.text, piece.loss, piece.tokens] for piece in row]}
            for number, row in zip(proof.numbers, proof.rows, strict=True)
        ],
        "steps": steps,
    }
    write_json(out / REPORT, told, error=TrainingError)


def _figures(result: TrainResult, about: dict[str, Any]) -> dict[str, str]:
    dropped = ", ".join(f"{count} {reason}" for reason, count in result.dropped.items()) or "none"
    split = about["split"]
    return {
        "Base model": str(about["model"]),
        **_data_sets(result, about, dropped),
        "Tokens": f"{result.tokens:,} per epoch, {result.loss_tokens:,} of them with loss",
        "Steps": f"{result.steps} of {about['settings']['batch']} rows ({split['micro_batch']} rows × "
        f"{split['accumulation']} passes × {split['processes']} processes)",
        "Dropout": f"off: {describe_dropouts(about['dropouts'])}" if about.get("dropouts") else "none",
        "Loss": f"{result.first_loss:.4f} → {result.last_loss:.4f}",
        "Time": f"{result.seconds:.1f} s, {result.tokens_per_second:,.0f} tokens/s, "
        f"{result.useful_tokens_per_second:,.0f} with loss",
    }


def _data_sets(result: TrainResult, about: dict[str, Any], dropped: str) -> dict[str, str]:
    told = [part["told"] for part in about.get("datasets", ())]
    if len(told) < 2:
        return {"Data set": f"{about['dataset']} ({result.rows} rows; left out: {dropped})"}
    return {"Data sets": ", ".join(told), "Rows": f"{result.rows}; left out: {dropped}"}


def _page(result: TrainResult, curves: dict[str, str], proof: Proof, about: dict[str, Any]) -> str:
    figures = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in _figures(result, about).items())
    settings = "".join(f"<tr><th>{k}</th><td>{escape(str(v))}</td></tr>" for k, v in about["settings"].items())
    rows = "".join(
        f"<h3>Row {number}</h3><pre>"
        + "".join(f"<mark>{escape(piece.text)}</mark>" if piece.loss else escape(piece.text) for piece in row)
        + "</pre>"
        for number, row in zip(proof.numbers, proof.rows, strict=True)
    )
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
        '<h2>Which tokens carry loss</h2><p class="note">Decoded from the ids and labels that were trained on; '
        f"<mark>marked</mark> text carries loss, the end token included.</p>{rows}"
        f"<h2>Settings</h2><table>{settings}</table></html>\n"
    )


def _written_by(about: dict[str, Any]) -> str:
    """Say which models wrote the data set, and that their terms apply besides those of the base model."""
    models = about.get("written_by") or []
    if not models:
        return ""
    names = " and ".join(f"`{name}`" for name in models)
    others = [name for name in models if name != str(about["model"])]
    teacher = " A model other than the base wrote what it was tuned on: it is no self-alignment." if others else ""
    return (
        f"The texts of the data set were written by {names}. The licences and terms of the base model and of "
        f"{names} apply to this model.{teacher}\n\n"
    )


def _card(result: TrainResult, about: dict[str, Any]) -> str:
    figures = "\n".join(f"| {key} | {value} |" for key, value in _figures(result, about).items())
    base = f"base_model: {about['model']}\n" if not Path(str(about["model"])).exists() else ""
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n{base}tags: [selfcodealign, code]\n---\n\n"
        f"# {result.out.name}\n\nFine-tuned with selfcodealign; loss on the answers only.\n\n{_written_by(about)}"
        f"| | |\n| --- | --- |\n{figures}\n\n![loss](loss.svg)\n\n"
        "The tokenizer carries the chat template:\n\n```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{result.out.name}")\n'
        f'model = AutoModelForCausalLM.from_pretrained("{result.out.name}")\n'
        'messages = [{"role": "user", "content": "Write a function that adds two numbers."}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n)\n'
        "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=256)[0]))\n```\n"
    )
