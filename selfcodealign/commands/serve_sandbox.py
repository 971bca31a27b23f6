"""`selfcodealign serve-sandbox`: the sandbox as an HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.options import PROGRAMS, SandboxMode, Walls, Warm, Workers, read_names

#: A group of options in the help.
SERVICE = "Service"


def serve_sandbox(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all.", metavar="HOST", rich_help_panel=SERVICE)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes a free one.", metavar="PORT", rich_help_panel=SERVICE)
    ] = 8090,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="The token, in a file; default: the variable SELFCODEALIGN_SANDBOX_TOKEN, else a new one is printed.",
            metavar="FILE",
            rich_help_panel=SERVICE,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="One more name that clients may use; repeatable.", metavar="NAME", rich_help_panel=SERVICE),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            min=0, help="Programs that may wait besides those that run.", metavar="N", rich_help_panel=SERVICE
        ),
    ] = 1000,
    max_request_mib: Annotated[
        int, typer.Option(min=1, help="Largest request.", metavar="MIB", rich_help_panel=SERVICE)
    ] = 32,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Time to finish programs when stopped.", metavar="SECONDS", rich_help_panel=SERVICE),
    ] = 30.0,
    workers: Workers = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Wall-clock limit of a program; requests may ask for less.",
            metavar="SECONDS",
            rich_help_panel=PROGRAMS,
        ),
    ] = 10.0,
    memory: Annotated[
        int,
        typer.Option(
            min=16,
            help="Memory limit of a program; requests may ask for less.",
            metavar="MIB",
            rich_help_panel=PROGRAMS,
        ),
    ] = 4096,
    warm: Warm = "numpy,pandas",
    sandbox: Walls = SandboxMode.AUTO,
    no_mutation_testing: Annotated[
        bool,
        typer.Option(
            "--no-mutation-testing",
            help="Do not run the tests against mutants of each response; a request may ask for it.",
        ),
    ] = False,
    split: Annotated[
        bool,
        typer.Option(
            "--split/--no-split",
            help="Run passing programs again with their tests in another process; a request may say otherwise.",
        ),
    ] = True,
    flake_reruns: Annotated[
        int,
        typer.Option(
            min=0,
            help="Rerun passing programs this often under other hash seeds.",
            metavar="N",
        ),
    ] = 0,
) -> None:
    """Serve the sandbox over HTTP: programs in, verdicts out, for trainers on other machines.

    POST /judge takes {"programs": LIST}, with objects of `response` and `tests`, and answers {"verdicts": LIST} in the
    same order. POST /run_code takes requests as SandboxFusion does. GET /health tells whether work is taken, GET
    /metrics counts for Prometheus. All but /health need the token, as `Authorization: Bearer TOKEN` or `?token=TOKEN`.

    The first Ctrl-C or SIGTERM finishes what was taken, for at most the time of --grace; the second stops at once.

    Example:

        selfcodealign serve-sandbox --host 0.0.0.0 --token-file token
    """
    import asyncio

    from selfcodealign.errors import MissingExtra

    try:
        from selfcodealign.judging.service import ServiceSettings
        from selfcodealign.judging.serving import bind, serve, url_of
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "prometheus_client"):
            raise
        raise MissingExtra("selfcodealign serve-sandbox", "serve") from None
    from selfcodealign.judging.access import find_token, names_of_machine
    from selfcodealign.progress.log import is_quiet, print_wrapped
    from selfcodealign.sandbox import Limits, Sandbox

    token, is_new = find_token(token_file)
    limits = Limits(seconds=timeout, memory_mib=memory)
    walled = Sandbox(
        workers, limits, sandbox.value, read_names(warm), not no_mutation_testing, flake_reruns, split=split
    )
    settings = ServiceSettings(token, names_of_machine(host, allow_host or ()), queue, max_request_mib)
    listening = bind(host, port)

    def announce() -> None:
        url = url_of(listening, host) + (f"/?token={token}" if is_new else "/")
        print(url, flush=True)  # the only place where a token is shown; no log gets it
        say(f"{walled.workers} programs at once, mode {walled.mode}; Ctrl-C stops")

    def say(text: str) -> None:
        if not is_quiet():
            print_wrapped(text)

    with listening:
        finished = asyncio.run(serve(listening, walled, settings, grace, announce, say))
    if not finished:
        raise typer.Abort
