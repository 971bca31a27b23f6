"""A tuned model as a parcel: weights, tokenizer and chat template, with a card that has its scores."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from selfcodealign.dataset.markup import code
from selfcodealign.errors import PublishError
from selfcodealign.files import read_json, read_text
from selfcodealign.publishing.cards import HubCard, read_card
from selfcodealign.publishing.parcel import CARD, Parcel, local_places, pick_files, refuse_secrets
from selfcodealign.publishing.scores import add_scores, find_scores
from selfcodealign.training.hub_name import name_on_hub
from selfcodealign.training.output import CHECKPOINTS, REPORT

_WEIGHTS = ("*.safetensors", "*.gguf")
_PATTERNS = (
    *_WEIGHTS,
    *("*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.*"),
    *("merges.txt", "tokenizer.model", "chat_template.jinja", "loss.svg", "LICENSE*", "NOTICE*"),
    *("configuration_*.py", "modeling_*.py", "tokenization_*.py", CARD),
)
_REPORT = "train_report.html"
_EXPECTED = ("license", "base_model", "library_name", "pipeline_tag", "tags", "model-index")
_PLAIN_CARD = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# Model\n"


def pack_model(folder: Path, repository: str, *, licence: str = "", report: bool = False) -> Parcel:
    """What goes to the hub of a model's folder. Raises `PublishError`."""
    if (folder / CHECKPOINTS).is_dir() and not (folder / REPORT).is_file():
        raise PublishError(f"the training in {folder} is not complete: the same command resumes it")
    files, left = pick_files(folder, [*_PATTERNS, *([_REPORT] if report else [])])
    if not any(Path(name).match(pattern) for name in files for pattern in _WEIGHTS):
        raise PublishError(f"{folder} holds no weights (*.safetensors): is it the folder of a tuned model?")
    if report and _REPORT not in files:
        raise PublishError(f"there is no {folder / _REPORT} to push: leave out --with-report")
    known = read_json(folder / REPORT, error=PublishError) if (folder / REPORT).is_file() else {}
    text = read_text(files[CARD], error=PublishError) if CARD in files else _PLAIN_CARD
    card = read_card(text, "model")
    found, notes = find_scores(folder)
    _complete(card, folder.resolve().name, repository, known)
    if licence:
        card.state_licence(licence)
    if found:
        add_scores(card, found, repository)
    whole: dict[str, Path | bytes] = {**files, CARD: card.text.encode()}
    refuse_secrets(whole)
    missing = [key for key in card.missing(_EXPECTED) if not (key == "model-index" and found)]
    return Parcel(
        kind="model",
        what=f"the model {folder.resolve().name}"
        + (f", tuned from {_find_base(str(known['model']))}" if known else ""),
        files=whole,
        licence=card.licence,
        missing=missing,
        notes=[*notes, *local_places(card.text)],
        left_out=left,
        marks=("config.json", "adapter_config.json"),
    )


def _complete(card: HubCard, name: str, repository: str, known: dict[str, Any]) -> None:
    """Add what the card in the run's folder does not say: the repository's name, the settings, the licences."""
    short = repository.rpartition("/")[2]
    body = card.body.replace(f'from_pretrained("{name}")', f'from_pretrained("{repository}")')
    body = re.sub(rf"^# (?:{re.escape(name)}|Model)$", lambda _: f"# {short}", body, count=1, flags=re.MULTILINE)
    if known:
        base = _find_base(str(known["model"]))
        for place in (str(known["dataset"]), str(known["model"])):
            if place.startswith("/"):  # on this machine; the name alone says as much to others
                body = body.replace(place, Path(place).name)
        body = f"{body.rstrip()}\n\n{_settings(known)}\n\n{_licences(base, known)}\n"
        if card.get("base_model") in (None, known["model"]):
            card.set(base_model=name_on_hub(base))
        card.set(tags=list(dict.fromkeys([*(card.get("tags") or []), "selfcodealign", "code"])))
    card.body = body


def _find_base(model: str) -> str:
    """The model that the first of several trainings began with; of a folder the name alone."""
    for _ in range(10):
        if not (Path(model) / REPORT).is_file():
            break
        model = str(read_json(Path(model) / REPORT, error=PublishError)["model"])
    return Path(model).name if Path(model).exists() else model


def _settings(known: dict[str, Any]) -> str:
    """The settings of the training that a person would repeat."""
    told = ", ".join(
        f"{key} {code(value)}" for key, value in known.get("settings", {}).items() if value not in ([], None)
    )
    used = ", ".join(f"{key} {code(value)}" for key, value in known.get("versions", {}).items())
    return f"## Training\n\nMethod {code(known.get('method', 'sft'))}: {told}.\n\nWith {used}."


def _licences(base: str, known: dict[str, Any]) -> str:
    writers = [
        Path(str(name)).name if Path(str(name)).exists() else str(name) for name in known.get("written_by") or []
    ]
    others = " and ".join(code(name) for name in writers if name != base)
    wrote = f" and those of {others}, which wrote what it was tuned on," if others else ""
    return (
        f"## Licences\n\nThe licence and the terms of {code(base)}, its base,{wrote} apply to this model; the code "
        "that the data grew from has licences of its own, which the data set lists. Before publishing, check that all "
        "of them allow it, and state the licence of this model."
    )
