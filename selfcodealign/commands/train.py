"""`selfcodealign train`: fine-tune a model on a data set, and train it further on pairs or on verdicts."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from selfcodealign.settings import Recipe
    from selfcodealign.training import OnProgress, TrainResult

NO_ARGS_IS_HELP = True


class Method(enum.StrEnum):
    """The choices of `--method`."""

    SFT = "sft"
    DPO = "dpo"
    GRPO = "grpo"


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Training data: a run folder, a data-set folder (sft, grpo), or a .parquet or .jsonl file; sft: also "
            "a hub data set. Columns of a file: messages, or instruction and response (sft); prompt, chosen and "
            "rejected (dpo); prompt and tests (grpo).",
            metavar="DATASET",
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="sft: fine-tune on examples. After that: dpo: on pairs of a passing and a failing answer; grpo: on "
            "verdicts, the model's answers run against the tests of their task.",
            metavar="METHOD",
        ),
    ] = Method.SFT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='The model to begin with: "embedded", a folder or a hub name. Default: sft: the model of --recipe, '
            "else embedded; dpo and grpo: DATASET/tuned of a run folder.",
            metavar="MODEL",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The model folder. Default: models/DATASET, models/DATASET-METHOD.", metavar="FOLDER"
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Use the section of this recipe: [train], [dpo] or [grpo]; --set overrides it.", metavar="RECIPE"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a setting of the method: key=value or section.key=value; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard an earlier training in OUT and start over.")] = False,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="List every setting of the method with its value; train nothing.")
    ] = False,
) -> None:
    """Fine-tune a base model on verified examples, with loss on the answers only.

    Before the first step, the loss mask of a few rows is shown, and data whose mask would be wrong is refused. Ctrl-C
    writes a checkpoint; the same command resumes. The model folder holds the weights, the tokenizer with its chat
    template, and train_report.html with the loss curve. The defaults are the published settings.

    With --method dpo or grpo, a tuned model learns further from the run that made it.

        selfcodealign train runs/quickstart -o models/tuned --set epochs=3
        selfcodealign train runs/mine -m org/base-3b --set weights=lora
        selfcodealign train runs/mine -m org/base-15b --set processes=8 \\
            --set parallel=fsdp2
        selfcodealign train runs/mine --method dpo -o models/preferring
        selfcodealign train runs/mine --method grpo --set steps=200
    """
    from selfcodealign.recipe import default_recipe, load_recipe
    from selfcodealign.training_settings import METHODS

    section = METHODS[method.value].section
    chosen = [text if "." in text.partition("=")[0] else f"{section}.{text}" for text in settings or []]
    whole = load_recipe(recipe, chosen) if recipe else default_recipe(chosen)
    if list_settings:
        _list(getattr(whole, section), section)
        return

    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.training.display import TrainDisplay

    source = Path(dataset.rstrip("/"))
    begun = model or getattr(whole, section).model or _default_model(method, source, whole)
    name = source.stem if method is Method.SFT else f"{source.stem}-{method.value}"
    with open_progress() as progress:
        if method is not Method.SFT:
            progress.say(f"{method.value} begins with the model {begun}")
        result = _train(method, dataset, begun, out or Path("models") / name, whole, TrainDisplay(progress), fresh)
    print(_tell(result))


def _train(
    method: Method, dataset: str, model: str, out: Path, recipe: Recipe, tell: OnProgress, fresh: bool
) -> TrainResult:
    from selfcodealign.training import train as train_examples
    from selfcodealign.training import train_dpo, train_grpo

    if method is Method.DPO:
        return train_dpo(dataset, model, out, recipe.dpo, tell, fresh=fresh)
    if method is Method.GRPO:
        return train_grpo(dataset, model, out, recipe.grpo, recipe.execution, tell, fresh=fresh)
    return train_examples(dataset, model, out, recipe.train, tell, fresh=fresh)


def _default_model(method: Method, dataset: Path, recipe: Recipe) -> str:
    """The model to begin with where none is named. Raises `TrainingError`."""
    from selfcodealign.errors import TrainingError

    if method is Method.SFT:
        return recipe.model.name
    tuned = dataset / "tuned"
    if (tuned / "train_report.json").is_file():
        return str(tuned)
    where = f"{dataset} has no tuned model" if dataset.is_dir() else f"{dataset} is no run folder with a tuned model"
    raise TrainingError(f"{where}, and {method.value} begins with one: name it with --model, or run the stage train")


def _tell(result: TrainResult) -> str:
    kinds = {"sft": "rows", "dpo": "pairs", "grpo": "tasks"}
    figures = result.figures
    told = f"{result.steps} steps on {result.rows} {kinds[result.method]}, "
    told += f"loss {result.first_loss:.4f} → {result.last_loss:.4f}, "
    if result.method == "dpo":
        told += f"margin {figures['first_margin']:.4f} → {figures['last_margin']:.4f}, "
    if result.method == "grpo":
        told += f"reward {figures['first_reward']:.1%} → {figures['last_reward']:.1%}, "
    told += f"{result.seconds:.0f} s, {result.tokens_per_second:,.0f} tokens/s\n"
    if result.reasons:
        told += "answers: " + ", ".join(f"{count:,} {reason}" for reason, count in result.reasons.items()) + "\n"
    return f"{told}model: {result.out}\nreport: {result.report}"


def _list(settings: Any, section: str) -> None:
    for name, field in type(settings).model_fields.items():
        line = f"{section}.{name} = {getattr(settings, name)}"
        print(f"{line:<40} # {field.description}" if field.description else line)
