"""Layout of prompts. What `lay_out` writes is read back, for any texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.generation.prompts import EXAMPLE_HEADING, lay_out, section, stop_strings
from selfcodealign.generation.reading import read_sections

TAGS = ("snippet", "concepts", "properties", "instruction", "response", "tests", "judgement")

EXAMPLES = [
    {"snippet": "def f(x):\n    return x", "concepts": "identity, functions"},
    {"snippet": "\ndef g(y):\n    return y * y\n", "concepts": "arithmetic"},
]


def test_layout_is_fixed():
    """Introduction, numbered examples, the open example, separated by one empty line."""
    prompt = lay_out("Name the concepts.\n", EXAMPLES, {"snippet": "def h(): ..."}, ["concepts"])
    assert prompt == (
        "Name the concepts.\n\n"
        "## Example 1\n<snippet>\ndef f(x):\n    return x\n</snippet>\n<concepts>\nidentity, functions\n</concepts>\n\n"
        "## Example 2\n<snippet>\ndef g(y):\n    return y * y\n</snippet>\n<concepts>\narithmetic\n</concepts>\n\n"
        "## Example 3\n<snippet>\ndef h(): ...\n</snippet>\n<concepts>\n"
    )


def test_without_introduction_the_prompt_starts_with_the_first_example():
    """An empty introduction leaves no empty lines at the top."""
    assert lay_out(" \n", EXAMPLES, {"snippet": "x"}, ["concepts"]).startswith("## Example 1\n<snippet>\n")
    assert lay_out("", [], {"snippet": "x"}, ["concepts"]) == "## Example 1\n<snippet>\nx\n</snippet>\n<concepts>\n"


def test_an_example_without_a_needed_section_is_an_error():
    """A worked example that lacks a section is an error, not a shorter prompt."""
    with pytest.raises(KeyError, match="tests"):
        lay_out("", EXAMPLES, {"snippet": "x"}, ["concepts", "tests"])


def test_stop_strings_end_the_last_section_or_a_new_example():
    """Only the end of the last wanted section stops a completion."""
    assert stop_strings(["response", "tests"]) == ("</tests>", "\n## Example")


def test_indentation_and_inner_empty_lines_survive():
    """Python code means what its indentation says: only outer empty lines are cut off."""
    assert section("snippet", "\n\n    indented\n\n    again  \n\n") == (
        "<snippet>\n    indented\n\n    again  \n</snippet>"
    )


# Texts as they may stand in a section: anything but the tags that end one, without outer white space.
texts = (
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(["def f():", "    return 1", "", "```python", "```", "## Heading", "<b>", "</b>", "é"])
        ).map("\n".join),
    )
    .map(str.strip)
    .filter(lambda text: text and not any(f"{opening}{tag}>" in text for tag in TAGS for opening in ("<", "</")))
)
sections = st.fixed_dictionaries(dict.fromkeys(TAGS, texts))


@given(
    introduction=st.text(),
    examples=st.lists(sections, max_size=3),
    row=sections,
    tags=st.lists(st.sampled_from(TAGS), min_size=2, max_size=5, unique=True),
    shown=st.integers(1, 4),
)
def test_what_is_laid_out_is_read_back(introduction, examples, row, tags, shown):
    """A completion in the layout of the worked examples is parsed, for every stage."""
    shown_tags, wanted = tags[: min(shown, len(tags) - 1)], tags[min(shown, len(tags) - 1) :]
    prompt = lay_out(introduction, examples, {tag: row[tag] for tag in shown_tags}, wanted)
    complete = lay_out(introduction, [*examples, row], dict.fromkeys(shown_tags, "x"), wanted)
    assert complete.startswith(prompt)

    completion = complete[len(prompt) :].split(stop_strings(wanted)[0])[0]
    reading = read_sections(completion, wanted)
    assert (reading.sections, reading.repairs) == ({tag: row[tag] for tag in wanted}, ())
    assert f"{EXAMPLE_HEADING} {len(examples) + 1}\n" in prompt
