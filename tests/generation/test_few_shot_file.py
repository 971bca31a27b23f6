"""Few-shot files: parsing, refusals with line numbers, and the drawing of examples."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.errors import FewShotError
from selfcodealign.generation.draws import draw_examples
from selfcodealign.generation.few_shot_file import (
    PROMPT_TAGS,
    lay_out_properties,
    load_few_shot,
    packaged_names,
    parse_few_shot,
)
from selfcodealign.generation.prompts import lay_out
from tests.support.places import ROOT

# Line numbers matter below: the comment starts on line 1, the example's heading stands on line 5.
GOOD = '''<!-- a comment
of two lines -->
## Introduction: concepts
Name the concepts.
## Example: doubling
<snippet>
def double(x):
    """Return twice x."""

    return 2 * x
</snippet>
<properties>
category: function
language: Python
difficulty: easy
concepts: arithmetic, functions
</properties>
<instruction>
Write a function `half(x)`.
</instruction>
<response>
Divide by two.

```python
def half(x):
    return x / 2
```
</response>
<tests>
```python
assert half(4) == 2
```
</tests>

<!-- between -->
## Judgement: clear
<snippet>
def triple(x):
    """Return three times x."""
    return 3 * x
</snippet>
<judgement>
yes
</judgement>
'''


def refusal_of(text: str) -> str:
    with pytest.raises(FewShotError) as refused:
        parse_few_shot(text, "mine.md")
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_good_file_is_read_in_full():
    """Every section is read as written, code with its inner empty lines and indentation."""
    few_shot = parse_few_shot(GOOD, "mine.md")
    (example,) = few_shot.examples
    (judgement,) = few_shot.judgements
    assert example.name == "doubling"
    assert example.snippet == 'def double(x):\n    """Return twice x."""\n\n    return 2 * x'
    assert (example.category, example.language, example.difficulty) == ("function", "Python", "easy")
    assert example.concepts == ("arithmetic", "functions")
    assert example.instruction == "Write a function `half(x)`."
    assert example.response == "Divide by two.\n\n```python\ndef half(x):\n    return x / 2\n```"
    assert example.tests == "```python\nassert half(4) == 2\n```"
    assert (judgement.name, judgement.judgement) == ("clear", "yes")
    assert few_shot.introductions == {stage: "Name the concepts." * (stage == "concepts") for stage in PROMPT_TAGS}
    assert few_shot.path == "mine.md"


EXPLAINED = GOOD.replace("<response>", "<reasoning>\nHalve it.\n</reasoning>\n<response>", 1).replace(
    "<tests>", "<explanation>\nIt is halved.\n</explanation>\n<tests>", 1
)


def test_reasoning_and_explanation_may_be_left_out():
    """The other prompts are the same with them; only prompts of all parts need them, and they have their places."""
    plain, explained = parse_few_shot(GOOD, "mine.md"), parse_few_shot(EXPLAINED, "mine.md")
    assert explained.examples[0].reasoning == "Halve it."
    assert explained.digest == plain.digest
    with pytest.raises(FewShotError, match='add "## Example: name" sections with <reasoning> and <explanation>'):
        plain.pool("responses-explained")
    late = GOOD.replace("</tests>", "</tests>\n<explanation>\nIt is halved.\n</explanation>", 1)
    with pytest.raises(FewShotError, match="<explanation> comes too late: put it above <tests>"):
        parse_few_shot(late, "mine.md")


def test_each_stage_gets_its_sections_in_the_order_of_its_prompt():
    """`pool` fits `lay_out`: the tags a stage shows and wants, and no others."""
    few_shot = parse_few_shot(EXPLAINED, "mine.md")
    here = {stage: tags for stage, tags in PROMPT_TAGS.items() if few_shot.pool(stage, 0)}
    assert {"concepts", "instructions", "instructions-from-seed", "responses", "judge"} <= set(here)
    assert {stage: tuple(few_shot.pool(stage)[0]) for stage in here} == here
    assert few_shot.pool("concepts")[0]["concepts"] == "arithmetic, functions"
    assert few_shot.pool("instructions")[0]["properties"] == (
        "category: function\nlanguage: Python\ndifficulty: easy\nconcepts: arithmetic, functions"
    )
    assert few_shot.pool("judge")[0]["judgement"] == "yes"
    for stage, tags in here.items():
        assert f"</{tags[-1]}>\n\n## Example 2" in lay_out("", few_shot.pool(stage), {tags[0]: "x"}, tags[1:])


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path):
    """Editors add both; the prompts stay the same."""
    path = tmp_path / "windows.md"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_few_shot(path) == parse_few_shot(GOOD, "mine.md")


def edited(old: str, new: str, times: int = 1) -> str:
    assert GOOD.count(old) >= times
    return GOOD.replace(old, new, times)


DAMAGES = {
    "no closing tag": (edited("</snippet>\n", ""), 6, "<snippet> is not closed before line 11"),
    "a heading before the closing tag": (edited("</tests>\n", ""), 29, "<tests> is not closed before line 35"),
    "closing tag at the end": (GOOD.removesuffix("</judgement>\n"), 42, "<judgement> is not closed"),
    "no opening tag": (edited("<instruction>\n", ""), 18, '"Write a function `half(x)`." stands outside'),
    "stray closing tag": (edited("<instruction>\n", "</instruction>\n"), 18, "closes a section that is not open"),
    "section missing": (
        edited("<instruction>\nWrite a function `half(x)`.\n</instruction>\n", ""),
        18,
        "<instruction>",
    ),
    "last section missing": (GOOD[: GOOD.index("<tests>")], 5, 'example "doubling" has no <tests>'),
    "unknown tag": (
        edited("<response>", "<respons>"),
        21,
        'unknown tag in this example: "respons"; did you mean "resp',
    ),
    "foreign tag": (
        edited("<response>", "<judgement>"),
        21,
        'unknown tag in this example: "judgement"; known are snip',
    ),
    "section twice": (
        edited("<response>", "<instruction>\nAgain\n</instruction>\n<response>"),
        21,
        "<instruction> is there twice",
    ),
    "wrong order": (
        edited("<properties>", "<tests>\n```python\nassert 1\n```\n</tests>\n<properties>"),
        12,
        "<tests> comes too early: <properties> is missing above it",
    ),
    "empty section": (edited("Write a function `half(x)`.", "  "), 18, "<instruction> is empty"),
    "text between sections": (edited("<response>", "hello\n<response>"), 21, '"hello" stands outside'),
    "text before any heading": ("Hello\n" + GOOD, 1, '"Hello" belongs to no section'),
    "tag before any heading": ("<snippet>\n" + GOOD, 1, "<snippet> belongs to no example"),
    "tag in an introduction": (edited("Name the concepts.", "<snippet>"), 4, "<snippet> inside an introduction"),
    "unknown heading": (edited("## Example:", "## Exampel:"), 5, 'unknown heading "Exampel"; did you mean "Example"?'),
    "no such heading": (edited("## Example:", "## Chapter:"), 5, 'unknown heading "Chapter"; known are Introduction'),
    "heading without a name": (edited("## Example: doubling", "## Example:"), 5, "this heading has no name"),
    "heading without a colon": (edited("## Example: doubling", "## Example"), 5, "this heading has no name"),
    "unknown introduction": (edited("Introduction: concepts", "Introduction: concept"), 3, 'mean "concepts"?'),
    "same name twice": (GOOD + GOOD[GOOD.index("## Judgement") :], 45, 'two "## Judgement: clear"'),
    "property missing": (edited("difficulty: easy\n", ""), 12, '<properties> has no "difficulty"'),
    "unknown property": (edited("difficulty:", "dificulty:"), 15, 'unknown property "dificulty"; did you mean "diff'),
    "property twice": (edited("difficulty: easy", "category: class"), 15, 'property "category" is there twice'),
    "property without value": (edited("difficulty: easy", "difficulty:"), 15, '"difficulty:" is no property'),
    "no concepts": (edited("concepts: arithmetic, functions", "concepts: , "), 16, '"concepts: ," is no property'),
    "line without a colon": (edited("difficulty: easy", "easy"), 15, '"easy" is no property; write "name: value"'),
    "bad category": (
        edited("category: function", "category: fucntion"),
        13,
        'category "fucntion"; did you mean "function"',
    ),
    "bad difficulty": (edited("difficulty: easy", "difficulty: so-so"), 15, "known are easy, medium, hard"),
    "bad judgement": (edited("\nyes\n", "\nmaybe\n"), 43, 'unknown judgement "maybe"; known are yes, no'),
    "response without code": (
        edited("```python\ndef half(x):\n    return x / 2\n```\n", ""),
        21,
        "<response> has no fenced",
    ),
    "tests without code": (
        edited("```python\nassert half(4) == 2\n```", "assert half(4) == 2"),
        29,
        "<tests> has no fenced",
    ),
    "fence never closed": (edited("half(4) == 2\n```", "half(4) == 2"), 30, "this fenced code is never closed"),
    "second fence never closed": (edited("</response>", "```\nmore\n</response>"), 28, "this fenced code is never"),
    "response that does not parse": (edited("return x / 2", "return x /"), 26, "does not parse: invalid syntax"),
    "tests that do not parse": (edited("== 2\n", "== 2)\n"), 31, "does not parse: unmatched ')'"),
    "snippet that does not parse": (edited("def double(x):", "def double(x)"), 7, "does not parse: expected ':'"),
    "comment never closed": (GOOD + "<!-- never\n", 45, "this comment is never closed"),
    "text after a comment": (edited("of two lines -->", "of two lines --> and more"), 2, "text after a comment's end"),
    "example heading in a text": (edited("Divide by two.", "## Example 7"), 22, 'a line "## Example" ends an example'),
    "closing tag in a text": (edited("Divide by two.", "A </tests> tag."), 22, "</tests> inside a text ends"),
    "nothing in it": ("<!-- nothing -->\n", 1, "there is no worked example"),
}


@pytest.mark.parametrize(("text", "line", "fragment"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_refused_with_file_and_line(text, line, fragment):
    """Each kind of damage gives one line with the file, the line number and the fault."""
    message = refusal_of(text)
    assert message.startswith(f"mine.md:{line}: "), message
    assert fragment in message, message


STRUCTURE = [number for number, line in enumerate(GOOD.split("\n"), 1) if line.startswith(("<", "#", "`"))]


@pytest.mark.parametrize("number", STRUCTURE)
def test_no_line_of_structure_can_be_lost_unseen(number):
    """With any heading, tag, fence or end of a comment removed, the file is refused or lacks that line's content."""
    lines = GOOD.split("\n")
    lost = lines.pop(number - 1)
    if lost == "<!-- between -->":
        assert parse_few_shot("\n".join(lines), "mine.md") == parse_few_shot(GOOD, "mine.md")
    else:
        assert refusal_of("\n".join(lines)).startswith("mine.md:")


def test_a_file_that_is_not_utf8_is_refused_with_the_line(tmp_path):
    """The invalid byte is on the named line."""
    path = tmp_path / "latin.md"
    path.write_bytes(GOOD.replace("Divide by two.", "Teile durch zwei, höchstens.").encode("latin-1"))
    with pytest.raises(FewShotError, match=r"latin\.md:22: this line is not UTF-8"):
        load_few_shot(path)


def test_a_missing_file_names_the_one_probably_meant(tmp_path):
    """A typo in a packaged name, or in the name of a neighbouring file, is answered with the right name."""
    with pytest.raises(FewShotError, match=r'^pyhton: there is no such few-shot file; did you mean "python"\?$'):
        load_few_shot("pyhton")
    (tmp_path / "examples.md").write_text(GOOD, encoding="utf-8")
    with pytest.raises(FewShotError, match=r'did you mean ".*/examples\.md"'):
        load_few_shot(tmp_path / "exmples.md")
    with pytest.raises(FewShotError, match=r"the packaged ones are .*python"):
        load_few_shot("0123456789")


def test_a_folder_is_refused(tmp_path):
    """What is not a readable file is refused in one line."""
    with pytest.raises(FewShotError, match=r"cannot read .*: Is a directory"):
        load_few_shot(tmp_path)


def test_packaged_files_load_by_name():
    """Every file of the package can be read by its bare name; "python" is one of them."""
    assert "python" in packaged_names()
    for name in packaged_names():
        few_shot = load_few_shot(name)
        assert few_shot.path.endswith(f"{name}.md")
        assert few_shot.examples


def test_what_a_file_lacks_is_missed_only_when_needed():
    """A file without judgements works for every stage but the judge, which is refused with the fix."""
    few_shot = parse_few_shot(GOOD[: GOOD.index("## Judgement")], "mine.md")
    assert len(few_shot.pool("responses")) == 1
    with pytest.raises(FewShotError, match=r'^mine\.md: stage "judge" needs .*\(1\) than are here \(0\); add "## Judg'):
        few_shot.pool("judge")
    with pytest.raises(FewShotError, match=r'stage "concepts" needs .*\(8\) than are here \(1\); add "## Ex'):
        few_shot.pool("concepts", 8)


def test_digest_follows_what_reaches_a_prompt():
    """Comments, names and empty lines leave a digest alone; a stage's digest ignores what the stage never shows."""
    good = parse_few_shot(GOOD, "mine.md")
    cosmetic = edited("a comment", "another comment").replace("doubling", "twice").replace("</snippet>", "</snippet>\n")
    assert parse_few_shot(cosmetic, "other.md").digest == good.digest

    changed = parse_few_shot(edited("half(4) == 2", "half(6) == 3"), "mine.md")
    assert changed.digest != good.digest
    differing = {stage for stage in PROMPT_TAGS if changed.prompt_digest(stage) != good.prompt_digest(stage)}
    assert differing == {"responses", "pairs"}
    introduced = parse_few_shot(edited("Name the", "List the"), "mine.md")
    assert {stage for stage in PROMPT_TAGS if introduced.prompt_digest(stage) != good.prompt_digest(stage)} == {
        "concepts"
    }


def test_properties_are_laid_out_as_in_the_file():
    """The open example's properties look exactly like those of the worked ones."""
    text = lay_out_properties("class", "Python", "hard", ["graphs", "heaps"])
    assert text == "category: class\nlanguage: Python\ndifficulty: hard\nconcepts: graphs, heaps"


DOCUMENT = ROOT / "docs" / "few-shot.md"


def test_the_documented_file_is_one():
    """The file in the documentation parses unchanged."""
    (shown,) = re.findall(r"^```markdown\n(.*?)^```\n\n\*\*", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    few_shot = parse_few_shot(shown, "mine.md")
    assert [example.name for example in few_shot.examples] == ["quoting a mail"]
    assert [judgement.judgement for judgement in few_shot.judgements] == ["no"]
    assert few_shot.introductions["concepts"].startswith("Each example lists")


def test_the_documented_messages_are_the_real_ones(tmp_path):
    """Each message in the documentation's table is the exact error for its damage."""
    real = [refusal_of(text) for text, _, _ in DAMAGES.values()]
    (tmp_path / "mine.md").write_bytes(edited("Divide by two.", "Teile durch zwei: ½").encode("latin-1"))
    good = parse_few_shot(GOOD, "mine.md")
    actions = (
        lambda: load_few_shot(tmp_path / "mine.md"),
        lambda: load_few_shot("pyhton"),
        lambda: good.pool("judge", 6),
    )
    for action in actions:
        with pytest.raises(FewShotError) as refused:
            action()
        real.append(str(refused.value).removeprefix(f"{tmp_path}/"))

    documented = re.findall(r"^\| `([^`]+:[^`]+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(documented) > 20
    for message in documented:
        assert any(other.startswith(message.removesuffix("…").rstrip()) for other in real), message


def test_the_documentation_knows_the_packaged_files():
    """Its command prints a path that exists; its numbers are those of the packaged file."""
    document = DOCUMENT.read_text("utf-8")
    (code,) = re.findall(r'^    python -c "(.*)"$', document, re.MULTILINE)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert load_few_shot(printed.strip()) == load_few_shot("python")
    python = load_few_shot("python")
    assert f"{len(python.examples)} examples and {len(python.judgements)} judgements" in document
    assert all(f"| `{stage}` |" in document for stage in PROMPT_TAGS)


POOL = [f"example {number}" for number in range(24)]
ROWS = [f"{number:016x}" for number in range(2000)]


@given(
    size=st.integers(1, 12),
    count=st.integers(1, 12),
    stage=st.sampled_from(list(PROMPT_TAGS)),
    row=st.text(),
    draws=st.integers(0, 80),
)
def test_a_draw_holds_different_examples_and_is_always_the_same(size, count, stage, row, draws):
    """Any draw has `count` distinct members of the pool, and drawing again gives the same ones in the same order."""
    pool = list(range(size))
    if count > size:
        with pytest.raises(FewShotError, match=rf"needs .*\({count}\) than its few-shot file has \({size}\)"):
            draw_examples(pool, count, stage, row, draws)
        return
    drawn = draw_examples(pool, count, stage, row, draws)
    assert len(set(drawn)) == count
    assert set(drawn) <= set(pool)
    assert draw_examples(pool, count, stage, row, draws) == drawn


def test_draws_are_bounded_and_all_used():
    """With 64 draws, all rows of a stage share exactly 64 different beginnings, each about equally often."""
    used = Counter(tuple(draw_examples(POOL, 8, "concepts", row, 64)) for row in ROWS)
    assert len(used) == 64
    assert max(used.values()) < 3 * len(ROWS) / 64
    assert len({tuple(draw_examples(POOL, 8, "concepts", row, 3)) for row in ROWS}) == 3


def test_every_example_comes_first_equally_often_within_the_draws():
    """64 draws of 8 from 24: each example opens 2 or 3 of them, and no example is left out of all."""
    draws = {tuple(draw_examples(POOL, 8, "concepts", row, 64)) for row in ROWS}
    firsts = Counter(draw[0] for draw in draws)
    assert len(firsts) == 24
    assert set(firsts.values()) == {2, 3}
    uses = Counter(chain.from_iterable(draws))
    assert min(uses.values()) > 5
    assert max(uses.values()) < 45


def test_few_examples_give_as_many_draws_as_there_are():
    """One example per prompt: every example of the pool is used; two of three: all 6 ordered draws."""
    assert {draw_examples(POOL, 1, "responses", row, 64)[0] for row in ROWS} == set(POOL)
    assert len({tuple(draw_examples("abc", 2, "responses", row, 64)) for row in ROWS}) == 6
    assert len({tuple(draw_examples("abc", 3, "responses", row, 5)) for row in ROWS}) == 5


def test_without_a_bound_every_row_draws_anew():
    """`draws=0`: nearly as many draws as rows, each example in each place equally often."""
    draws = [tuple(draw_examples(POOL, 8, "concepts", row, 0)) for row in ROWS]
    assert len(set(draws)) == len(ROWS)
    expected = len(ROWS) / len(POOL)
    for place in range(8):
        counts = Counter(draw[place] for draw in draws)
        # Chi-squared with 23 degrees of freedom exceeds 50 with probability 0.001.
        assert sum((counts[example] - expected) ** 2 / expected for example in POOL) < 50


def test_stages_and_rows_draw_different_dice():
    """One row's draws in two stages are independent of each other, and so are two rows' draws in one."""
    same = sum(
        draw_examples(POOL, 1, "concepts", row, 0) == draw_examples(POOL, 1, "instructions", row, 0) for row in ROWS
    )
    assert 40 < same < 140
