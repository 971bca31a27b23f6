"""Lay out a few-shot prompt; `reading` reads the sections of its completion back.

    {introduction}

    ## Example 1
    <snippet>
    ...
    </snippet>
    <concepts>
    ...
    </concepts>

    ## Example 2
    ...

The last example is open: the model continues it. The layout is the same for every stage; a stage only names the
sections it shows and the sections it wants. Tags stand alone on their lines, so code can hold anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

EXAMPLE_HEADING = "## Example"
_CLOSING_TAG = re.compile(r"\s*</[a-z]+>\s*")


def lay_out(
    introduction: str, examples: Sequence[Mapping[str, str]], shown: Mapping[str, str], wanted: Sequence[str]
) -> str:
    """Lay out a prompt that ends inside the first wanted section.

    `examples` hold the text of each section by tag. `shown` are the sections of the open example, in order; `wanted`
    are the tags of the sections that the model writes. Raises `KeyError` if an example lacks a shown or wanted tag.
    """
    tags = [*shown, *wanted]
    blocks = [introduction.strip()] if introduction.strip() else []
    for number, example in enumerate(examples, 1):
        sections = "\n".join(section(tag, example[tag]) for tag in tags)
        blocks.append(f"{EXAMPLE_HEADING} {number}\n{sections}")
    opened = "\n".join(section(tag, text) for tag, text in shown.items())
    blocks.append(f"{EXAMPLE_HEADING} {len(examples) + 1}\n{opened}\n<{wanted[0]}>\n")
    return "\n\n".join(blocks)


def section(tag: str, text: str) -> str:
    """Write one section: the tag, the text without outer empty lines, the closing tag."""
    return f"<{tag}>\n{text.strip(chr(10))}\n</{tag}>"


def find_markup(lines: Iterable[str]) -> str:
    """Return the first line that would be read as markup of the layout, "" if none; prompts cannot show such text."""
    return next((line for line in lines if line.startswith(EXAMPLE_HEADING) or _CLOSING_TAG.fullmatch(line)), "")


def stop_strings(wanted: Sequence[str]) -> tuple[str, ...]:
    """Stop strings of a completion: the end of the last wanted section, or the start of another example."""
    return (f"</{wanted[-1]}>", f"\n{EXAMPLE_HEADING}")
