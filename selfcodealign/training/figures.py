"""The figures of a training in words, for its page, its card and the report of a run; needs no torch."""

from __future__ import annotations

from typing import Any

from selfcodealign.training.events import TrainResult


def tell_figures(result: TrainResult, about: dict[str, Any]) -> dict[str, str]:
    """The rows of figures of a training's page and card; `about` as `write_report` takes it."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in result.dropped.items()) or "none"
    return {
        "Base model": str(about["model"]),
        **_data_sets(result, about, dropped),
        **(about.get("figures") or _describe_batches(result, about)),
        "Dropout": f"off: {describe_dropouts(about['dropouts'])}" if about.get("dropouts") else "none",
        "Loss": f"{result.first_loss:.4f} → {result.last_loss:.4f}",
        "Time": f"{result.seconds:.1f} s, {result.tokens_per_second:,.0f} tokens/s, "
        f"{result.useful_tokens_per_second:,.0f} with loss",
    }


def _describe_batches(result: TrainResult, about: dict[str, Any]) -> dict[str, str]:
    split = about["split"]
    return {
        "Tokens": f"{result.tokens:,} per epoch, {result.loss_tokens:,} of them with loss",
        "Steps": f"{result.steps} of {about['settings']['batch']} rows ({split['micro_batch']} rows × "
        f"{split['accumulation']} passes × {split['processes']} processes)",
    }


def _data_sets(result: TrainResult, about: dict[str, Any], dropped: str) -> dict[str, str]:
    told = [part["told"] for part in about.get("datasets", ())]
    if len(told) < 2:
        return {"Data set": f"{about['dataset']} ({result.rows} rows; left out: {dropped})"}
    return {"Data sets": ", ".join(told), "Rows": f"{result.rows}; left out: {dropped}"}


def describe_dropouts(dropouts: dict[str, float]) -> str:
    """Say which dropouts a configuration has, and what they were before they were set to 0.

    >>> describe_dropouts({"attention_dropout": 0.1})
    'attention_dropout (was 0.1)'
    """
    return ", ".join(f"{name} (was {value:g})" for name, value in dropouts.items())
