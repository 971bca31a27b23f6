"""A repository whose commits change one small program each, for the recipes that take commits."""

from __future__ import annotations

from pathlib import Path

from tests.support.repositories import commit, git, new_repository

_CODE = '''"""What a shop of number {number} asks for its goods."""


def price_{number}(amount, each):
    """Return the price of an amount of goods that cost `each`."""
    total = amount * each
    return total {sign} {number}
'''
SUBJECT = "Correct the sign of the fixed charge"


def write_changes(folder: Path, count: int) -> Path:
    """A repository in which `count` files are begun with a wrong sign in one commit each, and corrected in another."""
    new_repository(folder)
    for number in range(1, count + 1):
        name = f"shop_{number}__py"
        commit(folder, f"Begin shop_{number} today", **{name: _CODE.format(number=number, sign="-")})
        commit(folder, SUBJECT, **{name: _CODE.format(number=number, sign="+")})
    return folder


def code_of(number: int, sign: str) -> str:
    """The text of one file with one of the signs."""
    return _CODE.format(number=number, sign=sign)


def shallow_clone(folder: Path, of: Path) -> Path:
    """A clone without the history."""
    git(of.parent, "clone", "-q", "--depth", "1", of.resolve().as_uri(), str(folder))
    return folder
