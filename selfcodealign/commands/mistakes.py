"""A wrong command line in one line: what is wrong, what was probably meant, and where the help is."""

from __future__ import annotations

from typing import Any

import typer

from selfcodealign.addresses import hide_secrets
from selfcodealign.errors import did_you_mean

#: The name of the program in help, errors and completion, also under `python -m`.
PROGRAM = "selfcodealign"
#: The error that an option parser raises for a person's mistake. Typer brings its own parser or uses an installed one,
#: so the class is taken from the one name that is public in both.
UsageError: Any = typer.BadParameter.__base__


def explain_mistake(error: Any) -> str:
    """Describe a `UsageError` in one line; empty for a command without arguments, which has shown its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    text = hide_secrets(_describe(error).rstrip("."))
    command = error.ctx.command_path if error.ctx is not None else PROGRAM
    return f"{text}{'' if text.endswith('?') else '.'} See: {command} --help"


def _describe(error: Any) -> str:
    kind = type(error).__name__
    if kind == "NoSuchOption":
        return f"no option {error.option_name}{did_you_mean(error.option_name, _options(error.ctx))}"
    if kind == "MissingParameter":
        return f"{_name(error.param)} is missing"
    if kind == "BadParameter" and getattr(error, "param", None) is not None:
        return f"{_name(error.param)}: {_lower(error.message)}"
    return _lower(error.format_message())


def _name(parameter: Any) -> str:
    """The name that a person types, or the argument's name in the usage line."""
    if parameter.param_type_name == "argument":
        return f"the argument {(parameter.metavar or parameter.name).upper()}"
    return max(parameter.opts, key=len)


def _options(context: Any) -> list[str]:
    if context is None:
        return []
    return [name for one in context.command.params if not getattr(one, "hidden", False) for name in one.opts] + [
        name for one in context.command.params for name in one.secondary_opts
    ]


def _lower(message: str) -> str:
    text = " ".join(message.split()).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
