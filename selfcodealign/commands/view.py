"""`selfcodealign view`: look at the rows of a run in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def view(
    run: Annotated[Path, typer.Argument(help="A run folder; the run may be in progress.", metavar="RUN")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.", metavar="PORT")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the address in a browser; default: only in a terminal.")
    ] = True,
) -> None:
    """Show the rows of a run in a browser: every stage, kept and dropped, with filters, search and SQL.

    The printed address holds a token, without which nothing is shown; only this machine can reach it. A run in progress
    is followed. Ctrl-C stops.

    Example:

        selfcodealign view runs/quickstart
    """
    import asyncio
    import secrets
    import sys

    from selfcodealign.explorer.server import HOST, listen, serve
    from selfcodealign.progress.log import is_quiet, print_wrapped
    from selfcodealign.run_folder.folder import open_existing

    open_existing(run).journey()
    token = secrets.token_urlsafe(24)
    listening = listen(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"

    def announce() -> None:
        print(address, flush=True)  # the only place where the token is shown; no log gets it
        if not is_quiet():
            print_wrapped("Ctrl-C stops")
        if browser and sys.stdout.isatty():
            _open(address)

    with listening:
        asyncio.run(serve(run.resolve(), token, listening, announce))


def _open(address: str) -> None:
    """Open a browser beside the server; where there is none, the printed address is enough."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
