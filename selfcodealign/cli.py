"""The command line: one module per command, one-line errors, a clean stop on Ctrl-C."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from importlib import import_module
from typing import Any, NoReturn, TextIO

import typer

from selfcodealign.commands.mistakes import PROGRAM, UsageError, explain_mistake
from selfcodealign.commands.output import output_options
from selfcodealign.errors import RenamedWarning, UserError, did_you_mean
from selfcodealign.progress.log import PACKAGE, SAID, open_log, report_error

#: In the order of `--help`. A command's module is imported only to show or run that command.
COMMANDS = (
    "run",
    "plan",
    "rounds",
    "seeds",
    "check",
    "show",
    "report",
    "view",
    "mark",
    "doctor",
    "execute",
    "serve-sandbox",
    "rejudge",
    "train",
    "evaluate",
    "ablate",
    "matrix",
    "export",
    "push",
)

#: Exit codes above are for signals that stopped the command.
SIGNALLED = 128
INTERRUPTED = 130
BOTH_HELPS = {"help_option_names": ["--help", "-h"]}


class WithPlainFlags:
    """A command whose help shows no type behind its flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        found = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
        return found


class Command(WithPlainFlags, typer.core.TyperCommand):
    """One command."""


class Commands(WithPlainFlags, typer.core.TyperGroup):
    """Lists all commands by name and imports each on first use."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.params += output_options()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"selfcodealign.commands.{name}")
        function = getattr(module, name)
        one = typer.Typer(add_completion=False, rich_markup_mode="rich")
        one.command(
            name=cmd_name,
            cls=Command,
            help=lay_out_help(function.__doc__),
            context_settings=BOTH_HELPS,
            no_args_is_help=getattr(module, "NO_ARGS_IS_HELP", False),
        )(function)
        command: Any = typer.main.get_command(one)
        command.params += output_options()
        for parameter in command.params:
            parameter.help = lay_out_help(parameter.help)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        wrong = args and not args[0].startswith("-") and args[0] not in COMMANDS
        if wrong and not ctx.resilient_parsing:
            meant = did_you_mean(args[0], COMMANDS) or "."
            raise UserError(f'no command "{args[0]}"{meant} See: selfcodealign --help')
        return super().resolve_command(ctx, args)


def lay_out_help(text: str | None) -> str:
    """Make one line of each paragraph, for the terminal to break; indented lines, the examples, stay as they are."""
    from rich.markup import escape

    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return escape("\n\n".join(one if "\n    " in f"\n{one}" else " ".join(one.split("\n")) for one in paragraphs))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=BOTH_HELPS,
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
    if category is RenamedWarning and file is None:
        PACKAGE.warning("%s", message)
        return
    text = warnings.formatwarning(message, category, filename, lineno, line)
    SAID.warning("%s", text.strip())
    (file or sys.stderr).write(text)


def main() -> None:
    """Entry point. Exit codes: 0; 1, a bug in this package; 2, a user error, shown in one line; 3, a run whose data
    set is empty, with the reason in one line; 130, Ctrl-C; 143, SIGTERM where a command stops cleanly on it."""
    warnings.showwarning = _show_warning
    open_log()
    try:
        code = app(prog_name=PROGRAM, standalone_mode=False)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except UsageError as error:
        _fail(explain_mistake(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout (`| head`) has exited; Python would print a second error while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(INTERRUPTED)
    except Exception:
        SAID.exception("a bug in this package")
        raise
    if code == INTERRUPTED:  # some versions of typer take Ctrl-C themselves, and say nothing
        _fail("stopped", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, exit_code: int) -> NoReturn:
    if exit_code > SIGNALLED:
        print(text, file=sys.stderr)
    elif text:
        report_error(text)
    sys.exit(exit_code)
