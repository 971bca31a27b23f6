"""`selfcodealign evaluate`: score models on benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfcodealign.commands.options import SANDBOX_HELP

if TYPE_CHECKING:
    from selfcodealign.benchmarks import Mode
    from selfcodealign.evaluation import Candidate, Evaluation
    from selfcodealign.settings import EvaluateSettings, ExecutionSettings, ModelSettings

NO_ARGS_IS_HELP = True
#: Groups of options in the help.
FILES, ANSWERS, PROGRAMS = "Problems and files", "Answers", "Programs"


def evaluate(
    benchmark: Annotated[
        list[str], typer.Option("--benchmark", "-b", help="Name of a benchmark; may be repeated.", metavar="NAME")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Write answers, verdicts and scores to this folder.", metavar="FOLDER")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help='"embedded", a folder, a hub name or a name that the servers use; may be repeated.',
            metavar="[NAME=]MODEL",
        ),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="An OpenAI-compatible server that holds the model; may be repeated.", metavar="URL"),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="completion, completion-unstripped or few-shot (base models), chat (tuned models); may be repeated "
            "for one row each.",
            metavar="MODE",
        ),
    ] = None,
    set_model: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a setting of the models: model.batch_size, model.threads, model.dtype, model.device and others; "
            "may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge the answers in this file or folder; NAME is its row in the table. May be repeated.",
            metavar="[NAME=][BENCHMARK=]FILE",
            rich_help_panel=FILES,
        ),
    ] = None,
    problems: Annotated[
        list[str] | None,
        typer.Option(
            help="[BENCHMARK=]FILE: read the problems from this file instead of fetching them; may be repeated.",
            metavar="FILE",
            rich_help_panel=FILES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Use only the first N problems.", min=1, metavar="N", rich_help_panel=FILES),
    ] = None,
    few_shot: Annotated[
        str,
        typer.Option(
            help="Few-shot file whose worked example --mode few-shot shows.", metavar="FILE", rich_help_panel=FILES
        ),
    ] = "python",
    n: Annotated[
        int, typer.Option("--n", "-n", help="Answers per problem.", min=1, metavar="N", rich_help_panel=ANSWERS)
    ] = 1,
    k: Annotated[
        list[int] | None,
        typer.Option(
            "--k", "-k", help="Report pass@k for this k; may be repeated.", min=1, metavar="K", rich_help_panel=ANSWERS
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature; 0 is greedy.", min=0.0, metavar="T", rich_help_panel=ANSWERS)
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Nucleus sampling; 1 keeps all tokens.", min=0.0, max=1.0, metavar="P", rich_help_panel=ANSWERS
        ),
    ] = 1.0,
    max_tokens: Annotated[
        int,
        typer.Option(help="Cut answers after this many tokens.", min=1, metavar="N", rich_help_panel=ANSWERS),
    ] = 1024,
    sandbox: Annotated[
        str,
        typer.Option(
            help=SANDBOX_HELP,
            metavar="MODE",
            rich_help_panel=PROGRAMS,
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Programs run in parallel; default: one per core.", min=1, metavar="N", rich_help_panel=PROGRAMS
        ),
    ] = None,
) -> None:
    """Ask models the problems of benchmarks, judge every answer in the sandbox, and compare the models.

    Print one table for all models and benchmarks, with 95 % intervals, and state which differences are within the
    noise. The same command with the same --out resumes.

        # a tuned model and its base, on the small benchmark in this package
        selfcodealign evaluate -b tiny-eval -m base=embedded -m tuned=runs/tuned \\
            -o scores
        # a base model behind a server
        selfcodealign evaluate -b mbpp+ -m org/base-7b --mode completion \\
            --url http://localhost:8000 -o scores
        # existing answers of two models
        selfcodealign evaluate -b humaneval+ --samples llama=llama.jsonl \\
            --samples qwen=qwen.jsonl -o scores

    OUT/MODEL/BENCHMARK holds samples.jsonl, results.jsonl, results.parquet and eval_results.json (EvalPlus's format);
    OUT holds scores.json, scores.md and scores.html.
    """
    from selfcodealign.errors import BenchmarkError

    sampling = {"samples": n, "k": k or [1], "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    settings, execution = _read_settings(
        {**sampling, "few_shot": few_shot, "limit": limit}, {"sandbox": sandbox, "workers": workers}
    )
    candidates = read_candidates(model or [], _read_model(set_model or [], url or []), mode or [])
    candidates += read_given(samples or [], benchmark)
    if not candidates:
        raise BenchmarkError("give --model (a model to ask) or --samples (a file of answers)")
    files = {name: Path(path) for name, path in map(_split_name, problems or [])}
    _check_names(files, benchmark)
    _print(_evaluate(candidates, benchmark, out, settings, execution, files), out)


def _read_settings(asking: dict[str, Any], execution: dict[str, Any]) -> tuple[EvaluateSettings, ExecutionSettings]:
    """Validate the options. Raises `RecipeError` that names the wrong one."""
    from pydantic import ValidationError

    from selfcodealign.errors import RecipeError
    from selfcodealign.settings import EvaluateSettings, ExecutionSettings

    try:
        return EvaluateSettings.model_validate(asking), ExecutionSettings.model_validate(execution)
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0]).replace("_", "-")
        raise RecipeError(f"--{option} {problem['input']}: {problem['msg'].lower()}") from None


def _evaluate(
    candidates: list[Candidate],
    benchmarks: list[str],
    out: Path,
    settings: EvaluateSettings,
    execution: ExecutionSettings,
    problems: dict[str, Path],
) -> Evaluation:
    import asyncio

    from selfcodealign.evaluation import evaluate as evaluate_all
    from selfcodealign.progress.terminal import open_progress

    with open_progress() as progress:
        return asyncio.run(evaluate_all(candidates, benchmarks, out, settings, execution, problems, progress))


def _print(evaluation: Evaluation, out: Path) -> None:
    from rich.console import Console

    from selfcodealign.evaluation.run import models_left_out
    from selfcodealign.evaluation.table import footnotes, terminal_tables
    from selfcodealign.progress.log import log_drawn

    def draw(console: Console) -> None:
        for table in terminal_tables(evaluation, console.width):
            console.print(table)
        for text in footnotes(evaluation):
            console.print(text, markup=False, highlight=False)
        if others := models_left_out(out, evaluation):
            names = ", ".join(others)
            text = f"not in this table, though judged in {out} before: {names}; to compare, name all in one command"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        console.print(f"written to {out}", markup=False, highlight=False)

    log_drawn(draw)
    draw(Console())


def _read_model(settings: list[str], urls: list[str]) -> ModelSettings:
    """Read --set and --url, for all models. Raises `RecipeError`."""
    from selfcodealign.errors import RecipeError
    from selfcodealign.recipe import default_recipe

    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in ("model.name", "model.urls"):
            raise RecipeError(f"--set {key}: give --model for a model's name, --url for its servers")
        if not key.startswith("model."):
            raise RecipeError(f"--set {key}: evaluate takes settings of the model, as in model.batch_size=8")
    model = default_recipe(settings).model
    if urls and model.serve:
        raise RecipeError("--url and --set model.serve exclude each other: name servers, or let serve start one")
    return model.model_copy(update={"urls": urls})


def read_candidates(models: list[str], settings: ModelSettings, modes: list[str]) -> list[Candidate]:
    """Make a row of the table for each model and mode. Raises `BenchmarkError` for an unknown mode."""
    from selfcodealign.benchmarks import MODES
    from selfcodealign.errors import BenchmarkError, did_you_mean
    from selfcodealign.evaluation import Candidate

    for mode in modes:
        if mode not in MODES:
            raise BenchmarkError(f'no mode "{mode}"{did_you_mean(mode, MODES)} (known: {", ".join(MODES)})')
    found = []
    for text in models:
        label, name = _split_name(text)
        for mode in modes or ["chat"]:
            one: Mode = mode  # type: ignore[assignment]
            shown = (label or name or "server") + (f" ({mode})" if len(modes) > 1 else "")
            found.append(Candidate(label=shown, mode=one, settings=settings.model_copy(update={"name": name})))
    return found


def read_given(samples: list[str], benchmarks: list[str]) -> list[Candidate]:
    """Make a row of the table for each name before a file of answers; files without one are one row, if they can be.

    Raises `BenchmarkError` where a file's benchmark is not clear.
    """
    from selfcodealign.benchmarks.catalogue import BENCHMARKS
    from selfcodealign.errors import BenchmarkError, did_you_mean
    from selfcodealign.evaluation import Candidate

    asked = {*benchmarks, *(name.removesuffix("+") for name in benchmarks)}
    several = len({name.removesuffix("+") for name in benchmarks}) > 1
    rows: dict[str, dict[str, Path]] = {}
    for text in samples:
        label, rest = _split_name(text)
        if label in asked or label in BENCHMARKS:
            label, benchmark, file = "", label, rest
        else:
            benchmark, file = _split_name(rest)
        if not benchmark and (hint := did_you_mean(label, asked | BENCHMARKS.keys(), 0.75)):
            form = f"{label}={benchmarks[0]}={file}"
            raise BenchmarkError(f'"{label}=" names no benchmark (for a model of that name: --samples {form}){hint}')
        if benchmark not in asked and (benchmark or several):
            form = f"{label}={benchmarks[0]}=FILE" if label else f"{benchmarks[0]}=FILE"
            if benchmark:
                raise BenchmarkError(f'"{benchmark}=" names no benchmark asked for{did_you_mean(benchmark, asked)}')
            raise BenchmarkError(f"several benchmarks: say which one {file} belongs to, as in {form}")
        if not label and not several:
            label = _stem(Path(file))
        if benchmark in rows.setdefault(label, {}):
            raise BenchmarkError(f"two files of answers, {file} the second: name them, as in --samples first={text}")
        rows[label][benchmark] = Path(file)
    return [Candidate(label=label or "answers", samples=files) for label, files in rows.items()]


def _stem(path: Path) -> str:
    """The name of a file without its endings, or of a folder."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl") or path.resolve().name


def _split_name(text: str) -> tuple[str, str]:
    """Split NAME=VALUE; the name is "" where there is none."""
    name, equals, value = text.partition("=")
    return (name, value) if equals and "/" not in name else ("", text)


def _check_names(files: dict[str, Path], benchmarks: list[str]) -> None:
    from selfcodealign.errors import BenchmarkError, did_you_mean

    known = {*benchmarks, *(name.removesuffix("+") for name in benchmarks)}
    for name in files:
        if name and name not in known:
            raise BenchmarkError(f'"{name}=" names no benchmark asked for{did_you_mean(name, known)}')
    if "" in files and len({name.removesuffix("+") for name in benchmarks}) > 1:
        raise BenchmarkError(f"several benchmarks: say which one {files['']} belongs to, as in {benchmarks[0]}=FILE")
