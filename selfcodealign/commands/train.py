"""`selfcodealign train`: fine-tune a base model on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Training data: a run folder, a data-set folder, a .parquet or .jsonl file with the column "
            "messages or the columns instruction and response, or a hub data set.",
            metavar="DATASET",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='The base model: "embedded", a folder or a hub name. Default: the model of --recipe, else embedded.',
            metavar="MODEL",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model folder. Default: models/DATASET.", metavar="FOLDER"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Use the [train] section of this recipe; --set overrides it.", metavar="RECIPE"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Set a setting: key=value or train.key=value; may be repeated.", metavar="KEY=VALUE"
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard an earlier training in OUT and start over.")] = False,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="List every setting with its value; train nothing.")
    ] = False,
) -> None:
    """Fine-tune a base model on verified examples, with loss on the answers only.

    Before the first step, the loss mask of a few rows is shown, and data whose mask would be wrong is refused. Ctrl-C
    writes a checkpoint; the same command resumes. The model folder holds the weights, the tokenizer with its chat
    template, and train_report.html with the loss curve. The defaults are the published settings.

        selfcodealign train runs/quickstart -o models/tuned --set epochs=3
        selfcodealign train runs/mine -m org/base-3b --set weights=lora
        selfcodealign train runs/mine -m org/base-15b --set processes=8 \\
            --set parallel=fsdp2
    """
    from selfcodealign.recipe import default_recipe, load_recipe

    chosen = [text if "." in text.partition("=")[0] else f"train.{text}" for text in settings or []]
    whole = load_recipe(recipe, chosen) if recipe else default_recipe(chosen)
    loaded = whole.train
    if list_settings:
        _list(loaded)
        return

    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.training import train as train_model
    from selfcodealign.training.display import TrainDisplay

    base = model or loaded.model or whole.model.name
    folder = out or Path("models") / Path(dataset.rstrip("/")).stem
    with open_progress() as progress:
        result = train_model(dataset, base, folder, loaded, TrainDisplay(progress), fresh=fresh)
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
