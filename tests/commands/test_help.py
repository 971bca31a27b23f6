"""Help, mistakes on the command line, and completion: readable at 80 columns, one style, every shell."""

from __future__ import annotations

import re

import pytest

from selfcodealign.cli import COMMANDS
from tests.support.command_line import call

NARROW = {"COLUMNS": "80"}
#: Options that mean the same in every command that has them, with their letter.
SHARED = {"--model": "-m", "--out": "-o", "--help": "-h", "--verbose": "-v", "--quiet": "-q"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_readable_in_80_columns(command: str) -> None:
    """No line is longer, no name is cut, examples stay lines that can be copied, and -h says the same as --help."""
    words = [command] if command else []
    done = call(*words, "--help", env=NARROW)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout
    lines = [line.strip() for line in done.stdout.splitlines()]
    for number, line in enumerate(lines):
        if command and line.startswith(f"selfcodealign {command} "):
            follows = lines[number + 1]
            assert line.endswith("\\") or not follows or follows.startswith(("selfcodealign ", "#")), follows
    assert call(*words, "-h", env=NARROW).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_few_in_each_group_and_letters_are_the_same_everywhere(command: str) -> None:
    """At most eight options stand in one panel; -m, -o, -h, -v and -q mean one thing."""
    shown = call(command, "--help").stdout
    for panel in re.split(r"╭─ ", shown)[1:]:
        assert len(re.findall(r"^│ [* ] *--|^│ --", panel, re.MULTILINE)) <= 8, panel
    for name, letter in SHARED.items():
        found = re.search(rf"│ [* ]* *{name} .*", shown)
        assert found is None or re.match(rf"│ [* ]* *{name} +{letter} ", found[0]), found[0]
    assert "--log-file" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--modle", "x"], 'no option --modle; did you mean "--model"? See: selfcodealign run --help'),
        (["--qiet", "run"], 'no option --qiet; did you mean "--quiet"? See: selfcodealign --help'),
        (["evaluate", "-z"], "no option -z. See: selfcodealign evaluate --help"),
        (["show", "--json"], "the argument RUN is missing. See: selfcodealign show --help"),
        (["export", "x", "--to", "trl"], "--out is missing. See: selfcodealign export --help"),
        (["run", "a", "b"], "got unexpected extra argument"),
        (["run", "--limit", "many"], "--limit: "),
        (["run", "--limit", "0"], "--limit: "),
        (["run", "--out"], "option '--out' requires an argument."),
        (["execute", "a", "b", "--sandbox", "none"], "--sandbox: 'none' is not one of"),
        (["run", "quickstart", "-q", "-v"], "--quiet and --verbose exclude each other"),
        (["run", "quickstart", "--settings"], "--settings shows settings with --dry-run only"),
        (["run", "quickstart", "--log-file", "/proc/no/log"], "--log-file /proc/no/log: "),
        (["run", "quickstart", "--set", "seeds.sources=[git:.]"], "in a shell quote the whole setting"),
    ],
)
def test_mistakes_on_the_command_line_have_one_style(words: list[str], said: str) -> None:
    """`error: …` in one line on stderr, nothing on stdout, exit code 2."""
    done = call(*words, env=NARROW)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str) -> None:
    """The script for a shell names the program, whichever way it was started."""
    done = call("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert done.returncode == 0, done.stderr
    assert "_SELFCODEALIGN_COMPLETE" in done.stdout


@pytest.mark.parametrize(("typed", "offered"), [("ev", "evaluate"), ("run --un", "--until"), ("nothing --lo", "")])
def test_completion_offers_commands_and_options(typed: str, offered: str) -> None:
    """What bash gets for a beginning; a command that does not exist gets nothing, and no error."""
    words = f"selfcodealign {typed}"
    env = {"_SELFCODEALIGN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = call(env=env)
    assert "Traceback" not in done.stderr
    assert done.stderr == ""
    assert offered in done.stdout
