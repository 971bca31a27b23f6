"""Names that would break a card if they were not taken as texts, and what a run says when everything is called so."""

from __future__ import annotations

from selfcodealign.dataset.authors import Author
from selfcodealign.dataset.card import CardFacts
from selfcodealign.rows import Books

HOSTILE = [
    "a\n---\nlicense: mit\n---\n# owned",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[click](https://evil.example/x)",
    "https://evil.example/?a=b",
    "www.evil.example",
    "a | b | c",
    "a\\|b\\",
    "`x` ``y```",
    "| --- |\n| x |",
    "![x](y)",
    "**bold** _em_ ~~gone~~",
    '"quoted": {x: [1, 2]} # comment',
    "'single' & *alias !!python/object:os.system",
    "\u202eright to left\u2028line\x00\x07",
    "```\n</code></pre>",
    "no",
    "~",
    "2024-01-01",
    "é日本 😀",
    "x" * 2000,
]


def facts(word: str) -> CardFacts:
    """What a run says, with one text in every place that others fill."""
    return CardFacts(
        recipe_toml=f"text = '''\n{word}\n'''",
        run={"model": {"name": word, "revision": word}, "models": {word: {"identity": {"name": word}}}, "python": word},
        funnel=[(word, Books(3, 1, {word: 2})), ("seeds (files → seeds)", Books(1, 1))],
        benchmarks=[{"name": word, "version": word, "tasks": 3}],
        license="",
        missing={word: word},
        compared=[word],
        authors=[Author(field, word, word, word) for field in ("instruction", "response", "tests")],
        answers=word,
    )
