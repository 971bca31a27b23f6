"""The command line: one module per command, one-line errors, a clean stop on Ctrl-C."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Any, TextIO

import typer

from selfcodealign.errors import RenamedWarning, UserError, did_you_mean

#: In the order of `--help`. A command's module is imported only to show or run that command.
COMMANDS = ("run", "show", "doctor", "execute", "train", "evaluate", "export")

INTERRUPTED = 130


class Commands(typer.core.TyperGroup):
    """Lists all commands by name and imports each on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"selfcodealign.commands.{cmd_name}")
        one = typer.Typer(add_completion=False, rich_markup_mode="rich")
        one.command(name=cmd_name, no_args_is_help=getattr(module, "NO_ARGS_IS_HELP", False))(getattr(module, cmd_name))
        return typer.main.get_command(one)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UserError(f'no command "{args[0]}"{did_you_mean(args[0], COMMANDS)} See: selfcodealign --help')
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Turn a base code model into an instruction-tuned one with nothing but that model and permissively licensed "
    "code.\n\n[bold]selfcodealign run quickstart[/] takes the whole journey on the small model in this package; "
    "[bold]selfcodealign doctor[/] shows what this machine offers.",
)


@app.callback(invoke_without_command=True)
def root(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if show:
        from importlib.metadata import version

        print(version("selfcodealign"))
        raise typer.Exit


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a renamed setting in one line, other warnings as Python does."""
    renamed = category is RenamedWarning
    text = f"warning: {message}\n" if renamed else warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def main() -> None:
    """Entry point. Exit codes: 0; 1, a bug in this package; 2, a user error, shown in one line; 3, a run whose data
    set is empty, with the reason in one line; 130, Ctrl-C."""
    warnings.showwarning = _show_warning
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout (`| head`) has exited; Python would print a second error while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(INTERRUPTED)
