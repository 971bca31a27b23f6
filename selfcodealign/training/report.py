"""The report of a training (loss curve, proof of the loss mask, figures), and the model card."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError
from selfcodealign.files import write_json, write_text
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.output import REPORT, as_json

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 40

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1d2733; background: #fff; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; }
pre { white-space: pre-wrap; background: #f4f6f8; padding: .8rem; border-radius: 6px; font-size: 13px; }
mark { background: #b9e6c9; color: inherit; border-radius: 2px; }
svg { max-width: 100%; height: auto; } .note { color: #5b6b7b; }
@media (prefers-color-scheme: dark) { body { color: #dde4ea; background: #14191e; } pre { background: #1f262d; }
  mark { background: #1f5c39; } .note { color: #94a3b1; } }
"""


def draw_losses(points: list[tuple[int, float]], last: int) -> str:
    """Draw the loss as SVG text: a dot per step, a line for the moving mean; `last` is the last step."""
    points = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if not points:
        raise ValueError("there is no finite loss to draw")
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    pad = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-6)
    low, high = low - pad, high + pad
    last = max(last, 2)

    def x(step: float) -> float:
        return _LEFT + (step - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _TOP + (high - loss) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    lines = []
    for i in range(5):
        value = low + (high - low) * i / 4
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#8884"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for step in sorted({1, *(round(1 + (last - 1) * i / 4) for i in range(5))}):
        lines.append(f'<text x="{x(step):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{step}</text>')
    dots = "".join(f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="2"/>' for s, v in points)
    window = max(1, len(points) // 25)
    smooth = [
        (s, sum(v for _, v in points[max(0, i - window + 1) : i + 1]) / min(window, i + 1))
        for i, (s, _) in enumerate(points)
    ]
    path = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in smooth)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="loss from {points[0][1]:.4g} to {points[-1][1]:.4g}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#7a8794">'
        f'{"".join(lines)}<g fill="#9aa7b3">{dots}</g>'
        f'<polyline points="{path}" fill="none" stroke="#2f7fd0" stroke-width="2"/>'
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">step</text>'
        f'<text x="12" y="{_HEIGHT / 2:.0f}" transform="rotate(-90 12 {_HEIGHT / 2:.0f})" '
        'text-anchor="middle">loss</text>'
        "</svg>\n"
    )


def write_report(
    out: Path, result: TrainResult, steps: list[dict[str, float]], proof: Proof, about: dict[str, Any]
) -> None:
    """Write loss.svg, train_report.html, README.md and, last, train_report.json to `out`.

    `steps`: step, loss, learning_rate and grad_norm of every step; `about`: model, dataset, settings, split of the work
    over devices, versions.
    """
    curve = draw_losses([(int(step["step"]), step["loss"]) for step in steps], result.steps)
    write_text(out / "loss.svg", curve, error=TrainingError)
    write_text(out / "train_report.html", _page(result, curve, proof, about), error=TrainingError)
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
        "Data set": f"{about['dataset']} ({result.rows} rows; left out: {dropped})",
        "Tokens": f"{result.tokens:,} per epoch, {result.loss_tokens:,} of them with loss",
        "Steps": f"{result.steps} of {about['settings']['batch']} rows ({split['micro_batch']} rows × "
        f"{split['accumulation']} passes × {split['processes']} processes)",
        "Loss": f"{result.first_loss:.4f} → {result.last_loss:.4f}",
        "Time": f"{result.seconds:.1f} s, {result.tokens_per_second:,.0f} tokens/s, "
        f"{result.useful_tokens_per_second:,.0f} with loss",
    }


def _page(result: TrainResult, curve: str, proof: Proof, about: dict[str, Any]) -> str:
    figures = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in _figures(result, about).items())
    settings = "".join(f"<tr><th>{k}</th><td>{escape(str(v))}</td></tr>" for k, v in about["settings"].items())
    rows = "".join(
        f"<h3>Row {number}</h3><pre>"
        + "".join(f"<mark>{escape(piece.text)}</mark>" if piece.loss else escape(piece.text) for piece in row)
        + "</pre>"
        for number, row in zip(proof.numbers, proof.rows, strict=True)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Training of {escape(result.out.name)}</title><style>{_STYLE}</style>"
        f"<h1>Training of {escape(result.out.name)}</h1><table>{figures}</table>"
        f"<h2>Loss</h2>{curve}<p class=note>Mean over the tokens with loss of each step; the line is a moving mean.</p>"
        "<h2>Which tokens carry loss</h2><p class=note>Decoded from the ids and labels that were trained on; "
        f"<mark>marked</mark> text carries loss, the end token included.</p>{rows}"
        f"<h2>Settings</h2><table>{settings}</table></html>\n"
    )


def _card(result: TrainResult, about: dict[str, Any]) -> str:
    figures = "\n".join(f"| {key} | {value} |" for key, value in _figures(result, about).items())
    base = f"base_model: {about['model']}\n" if not Path(str(about["model"])).exists() else ""
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n{base}tags: [selfcodealign, code]\n---\n\n"
        f"# {result.out.name}\n\nFine-tuned with selfcodealign; loss on the answers only.\n\n"
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
