"""Rows as the stages give them, of which a test names only what it is about."""

from __future__ import annotations

from selfcodealign.rows import Dropped, Seed, digest


def make_seed(number: int, text: str = "def f(x):\n    return x\n") -> Seed:
    return Seed(
        seed_id=digest("seed", number),
        source_id=digest("file", number),
        seed=text,
        function="f",
        origin="here",
        source_path="a.py",
        source_line=number,
        commit="",
        licence="MIT",
    )


def make_drop(number: int) -> Dropped:
    return Dropped(parent=digest("file", number), reason="no_docstring", detail="", row={"function": "g"})
