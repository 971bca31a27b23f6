"""`selfcodealign view`: look at the rows of a run in a browser, or write them as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True
SITE = "A static site"


def view(
    run: Annotated[Path, typer.Argument(help="A run folder; the run may be in progress.", metavar="RUN")],
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; default: a free one.", metavar="PORT")
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the address in a browser; default: only in a terminal."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Write the pages into a folder, for any web host or a disk.", metavar="DIR", rich_help_panel=SITE
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, help="Rows of each stage; default: 2000.", metavar="N", rich_help_panel=SITE),
    ] = None,
) -> None:
    """Show the rows of a run in a browser: every stage, kept and dropped, with filters, search and SQL.

    The printed address holds a token, without which nothing is shown; only this machine can reach it. A run in progress
    is followed. Ctrl-C stops.

    With --bundle nothing is served: a static site is written, of a draw of the rows.

    Examples:

        selfcodealign view runs/quickstart
        selfcodealign view runs/quickstart --bundle site
    """
    import asyncio
    import secrets
    import sys

    from selfcodealign.errors import UserError
    from selfcodealign.explorer.server import HOST, listen, serve
    from selfcodealign.progress.log import is_quiet, print_wrapped
    from selfcodealign.run_folder.folder import open_existing

    if bundle is not None and not (port is browser is None):
        raise UserError("--bundle writes files and serves nothing: leave out --port, --open and --no-open")
    if bundle is None and most is not None:
        raise UserError("--most is about a static site: give --bundle DIR as well")
    open_existing(run).journey()
    if bundle is not None:
        _write_site(run, bundle, most)
        return
    token = secrets.token_urlsafe(24)
    listening = listen(port or 0)
    address = f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"

    def announce() -> None:
        print(address, flush=True)  # the only place where the token is shown; no log gets it
        if not is_quiet():
            print_wrapped("Ctrl-C stops")
        if sys.stdout.isatty() if browser is None else browser:
            _open(address)

    with listening:
        asyncio.run(serve(run.resolve(), token, listening, announce))


def _write_site(run: Path, out: Path, most: int | None) -> None:
    """Write the static site, and tell how far it is."""
    from selfcodealign.commands.stopping import stopped_by_signals
    from selfcodealign.explorer.bundle import MOST, check_place, write_bundle
    from selfcodealign.progress.terminal import open_progress

    check_place(out)
    reached: dict[str, int] = {}
    with open_progress() as progress:

        def show(what: str, unit: str, done: int, total: int) -> None:
            if what not in reached:
                progress.start(what, total, unit)
            progress.advance(what, done - reached.get(what, 0))
            reached[what] = done
            if done == total:
                progress.finish(what, f"{total:,} {unit}")

        with stopped_by_signals():
            written = write_bundle(run, out, most or MOST, show)
    typer.echo(f"{out / 'index.html'}: {written.pages:,} pages, {written.size / 2**20:.1f} MiB")


def _open(address: str) -> None:
    """Open a browser beside the server; where there is none, the printed address is enough."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
