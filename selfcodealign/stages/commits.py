"""What stages that take commits share: the check of the journey, the task that shows the code before, fenced files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from selfcodealign.errors import RecipeError
from selfcodealign.markdown import fence
from selfcodealign.rows import Seed
from selfcodealign.stages.context import Context

#: What a language is called in a fence, and in a row, by the ending of a file's name; others have neither.
LANGUAGES = {".py": ("python", "Python"), ".pyi": ("python", "Python")}


def refuse_other_kinds(context: Context, stage: str) -> Iterator[RecipeError]:
    """What a person has to fix where the seeds are no commits. A source of the person's own is not known before."""
    kind = context.recipe.seeds.kind
    if "seeds" in context.places and kind != "commits":
        yield RecipeError(
            f'the stage {stage} takes commits, and seeds.kind is "{kind}": set seeds.kind="commits" and name a '
            'repository with a history, as in seeds.sources=["git:PATH"]'
        )


def fence_file(seed: Seed, code: str) -> str:
    """The text of a commit's file as fenced code."""
    return fence(code, LANGUAGES.get(_ending(seed), ("", ""))[0])


def language_of(seed: Seed) -> str:
    """The language of a commit's file, "" if its name does not tell."""
    return LANGUAGES.get(_ending(seed), ("", ""))[1]


def ask_for_change(seed: Seed, request: str) -> str:
    """The task: what is wanted, and below it the code as it was; a new file has none."""
    return f"{request}\n\n{fence_file(seed, seed.old_code)}" if seed.old_code.strip() else request


def _ending(seed: Seed) -> str:
    return PurePosixPath(seed.source_path).suffix
