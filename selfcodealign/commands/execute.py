"""`selfcodealign execute`: run responses against their tests, in the sandbox."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.options import PROGRAMS, SandboxMode, Walls, Warm, Workers, read_names


def execute(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="Rows to judge: .jsonl, .jsonl.gz, .parquet, a pipe, or - for stdin.", show_default=False
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Write the rows with verdicts here: .jsonl, .jsonl.gz, .parquet, or - for stdout.",
            show_default=False,
        ),
    ],
    response_field: Annotated[
        str, typer.Option(help="Name of the field that holds the response.", metavar="NAME")
    ] = "response",
    tests_field: Annotated[str, typer.Option(help="Name of the field that holds the tests.", metavar="NAME")] = "tests",
    workers: Workers = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Wall-clock limit of a program.", metavar="SECONDS", rich_help_panel=PROGRAMS)
    ] = 10.0,
    memory: Annotated[
        int, typer.Option(min=16, help="Memory limit of a program.", metavar="MIB", rich_help_panel=PROGRAMS)
    ] = 4096,
    warm: Warm = "numpy,pandas",
    sandbox: Walls = SandboxMode.AUTO,
    no_mutation_testing: Annotated[
        bool, typer.Option("--no-mutation-testing", help="Do not run the tests against mutants of each response.")
    ] = False,
    split: Annotated[
        bool,
        typer.Option("--split/--no-split", help="Run passing programs again with their tests in another process."),
    ] = True,
    flake_reruns: Annotated[
        int, typer.Option(min=0, help="Rerun passing programs this often under other hash seeds.", metavar="N")
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT, judge all rows again.")] = False,
    mutation_testing: Annotated[bool, typer.Option("--mutation-testing", hidden=True)] = False,
    strength: Annotated[bool | None, typer.Option(hidden=True, help="Earlier name of --mutation-testing.")] = None,
) -> None:
    """Run responses against their tests and write a verdict for each.

    A row needs `response` and `tests`: Markdown with fenced Python blocks, or plain code; or one `response` that
    holds both sections. `tests` may be a list of asserts, or that list as JSON text. Every row is written in order,
    with all it held, `status` (passed, failed, error, timeout, memory, crashed, blocked, no_code, no_tests, weak_tests,
    tampering, flaky, not_judged), the evidence (error_type, message, line, output, seconds, peak_memory_mib),
    `mutation_score`, the share of mutants of the response that its tests killed, `proof` for one that passed: `split`
    if it also passed in a process apart from its tests, else `shared`, and `killed_by_value`, whether an assertion
    notices other values of the same types. These replace fields of the same names. A line that is no JSON becomes a
    row with `line`, its `text`, the status no_code and the reason as `message`.

    Rows are written as they are judged: to OUT itself where that is .jsonl, else to OUT.unfinished.jsonl, which becomes
    OUT at the end. Ctrl-C, SIGTERM or a kill loses nothing that is written: the same command goes on from there, also
    when the rows are piped in again. Rows on standard output cannot be resumed; all else is then said on stderr.

    Examples:

        selfcodealign execute answers.jsonl judged.jsonl --timeout 5 --memory 1024
        selfcodealign execute - - --response-field answer < a.jsonl | jq .status
    """
    import asyncio

    from selfcodealign.judging.execute import execute_file
    from selfcodealign.judging.rows import Fields
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.sandbox import Limits

    limits = Limits(seconds=timeout, memory_mib=memory)
    with open_progress() as progress:
        summary = asyncio.run(
            execute_file(
                source,
                target,
                fields=Fields(response_field, tests_field),
                workers=workers,
                limits=limits,
                warm=read_names(warm),
                mode=sandbox.value,
                mutation_testing=mutation_testing or (not no_mutation_testing and strength is not False),
                flake_reruns=flake_reruns,
                split=split,
                progress=progress,
                overwrite=overwrite,
            )
        )
    print("\n".join(summary.lines()), file=sys.stderr if str(target) == "-" else sys.stdout)
