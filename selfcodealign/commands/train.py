"""`selfcodealign train`: a base model and a data set become a tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            help="What to train on: a run folder, a data-set folder, a .parquet or .jsonl file with the column "
            "messages or the columns instruction and response, or a hub data set."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="The base model: a folder, a hub name, or embedded (the small one in the package).")
    ] = "embedded",
    out: Annotated[Path | None, typer.Option(help="The model folder to make. Default: models/DATASET.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take the settings of this recipe's [train] section; --set goes above it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, as key=value or train.key=value; many times.", metavar="KEY=VALUE"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew what OUT holds of an earlier training.")] = False,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="Show every setting with its value, and train nothing.")
    ] = False,
) -> None:
    """Fine-tune a base model on verified examples, with loss on the answers only.

    Before the first step it shows for a few rows which tokens carry loss, and refuses data for which that would be
    wrong. Ctrl-C leaves a checkpoint; the same command goes on. The model folder holds the weights, the tokenizer
    with its chat template, and train_report.html with the loss curve. The defaults are the published settings.

        selfcodealign train runs/quickstart --model embedded --out models/tuned --set learning_rate=4e-4 --set epochs=3
        selfcodealign train runs/mine --model bigcode/starcoder2-3b --set method=lora
        selfcodealign train runs/mine --model bigcode/starcoder2-15b --set processes=8 --set parallel=fsdp2
    """
    from selfcodealign.recipe import default_recipe, load_recipe

    chosen = [text if "." in text.partition("=")[0] else f"train.{text}" for text in settings or []]
    loaded = (load_recipe(recipe, chosen) if recipe else default_recipe(chosen)).train
    if list_settings:
        _list(loaded)
        return

    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.training import train as train_model
    from selfcodealign.training.display import TrainDisplay

    folder = out or Path("models") / Path(dataset.rstrip("/")).stem
    with open_progress() as progress:
        result = train_model(dataset, loaded.model or model, folder, loaded, TrainDisplay(progress), fresh=fresh)
    print(
        f"{result.steps} steps on {result.rows} rows, loss {result.first_loss:.4f} → {result.last_loss:.4f}, "
        f"{result.seconds:.0f} s, {result.tokens_per_second:,.0f} tokens/s\nmodel: {result.out}\n"
        f"report: {result.report}"
    )


def _list(settings: object) -> None:
    from selfcodealign.settings import TrainSettings

    for name, field in TrainSettings.model_fields.items():
        line = f"train.{name} = {getattr(settings, name)}"
        print(f"{line:<40} # {field.description}" if field.description else line)
