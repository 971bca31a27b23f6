"""`selfcodealign export`: write the data of a run for other trainers."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


class ProofChoice(enum.StrEnum):
    """The choices of `--proof`."""

    ANY = "any"
    SPLIT = "split"


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or (except for dpo) a data-set folder.", metavar="RUN")],
    to: Annotated[
        str,
        typer.Option(
            help="trl, axolotl, llama-factory, openai: supervised examples. dpo: pairs of a passing and a failing "
            "response. rl: instructions with tests and the measured pass rate.",
            metavar="FORMAT",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Write a .jsonl file (.parquet for trl, dpo and rl), or this folder.",
            metavar="PATH",
        ),
    ],
    proof: Annotated[
        ProofChoice | None,
        typer.Option(
            help="split: only examples that also passed in a process apart from their tests; any: all. Default: split "
            "for rl, any for the others.",
            metavar="PROOF",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Write the data of a run in the format of another trainer.

    A folder also gets the configuration that the trainer needs: axolotl.yaml, or LLaMA-Factory's dataset_info.json.

        selfcodealign export runs/mine --to trl -o data/sft.jsonl
        selfcodealign export runs/mine --to dpo -o data/pairs.parquet
        selfcodealign export runs/mine --to llama-factory -o data/lf
    """
    import sys

    from selfcodealign.dataset.export import export as write

    done = write(run, to, out, overwrite=overwrite, proof=proof.value if proof else None)
    for note in done.notes:
        print(note, file=sys.stderr)
    print(f"{done.rows} rows: " + ", ".join(str(file) for file in done.files))
