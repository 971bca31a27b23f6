"""The filters of commits: each by a commit that it drops and by a near one that it keeps."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfcodealign.curation.commits import FILTERS, IMPERATIVES, clean_subject, count_tokens, extract_commit
from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped, Seed, digest
from selfcodealign.settings import CommitFilter, SeedSettings
from selfcodealign.sources.commits import Commit
from tests.support.tokenizers import train_tokenizer

BEFORE = "def area(width, height):\n    return width + height\n" + "# A line.\n" * 20
AFTER = BEFORE.replace("+", "*")
GOOD = "Fix the area of a rectangle"


def made(
    subject: str = GOOD,
    before: str | bytes = BEFORE,
    after: str | bytes = AFTER,
    path: str = "shapes.py",
    number: int = 0,
) -> Commit:
    return Commit(
        id=digest("commit", number),
        path=path,
        text=after,
        origin="here",
        commit=f"c{number}",
        licence="MIT",
        repository="a/b",
        before=before,
        subject=subject,
    )


def take(commit: Commit, **settings: object) -> Seed | Dropped:
    (row,) = extract_commit(commit, SeedSettings.model_validate({"kind": "commits", **settings}))
    return row


def reason(commit: Commit, **settings: object) -> str:
    row = take(commit, **settings)
    return row.reason if isinstance(row, Dropped) else ""


def test_a_small_change_with_an_instruction_is_a_seed() -> None:
    """The code after, the code before, the subject, and where they are from."""
    seed = take(made())
    assert isinstance(seed, Seed)
    assert (seed.seed, seed.old_code, seed.commit_message, seed.kind) == (AFTER, BEFORE, GOOD, "commits")
    assert (seed.commit, seed.source_path, seed.licence, seed.repository) == ("c0", "shapes.py", "MIT", "a/b")
    assert (seed.function, seed.source_id) == ("", digest("commit", 0))


def test_ids_come_from_both_texts_and_the_subject() -> None:
    """Two ways to the same code are two seeds; the same change of two repositories is one."""
    first, copy = take(made()), take(made(number=1))
    other = take(made(before=BEFORE.replace("+", "-")))
    assert first.id == copy.id != other.id


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Fix the area, see #12 for more", "issue_reference"),
        ("Fix the area in shapes for all", "names_file"),
        ("Fix the reshapes of a rectangle", ""),
        ("Fix the area", "short_subject"),
        ("Fix a b c", "short_subject"),
        ("Fix a b c d", ""),
        ("a b c d e", "short_subject"),
        ("Fix " + "the area " * 120, "long_subject"),
        ("[area] Fix it as before", "short_subject"),
        ("fix the area of a rectangle", "not_capitalised"),
        ("Ändere die Fläche eines Rechtecks", "not_imperative"),
        ("Fixes the area of a rectangle", "not_imperative"),
        ("The area of a rectangle was wrong", "not_imperative"),
        ("Deal with rectangles without an area", ""),
        ("Add rectangle, signed-off-by nobody at all", "automatic_message"),
        ("Merge branch of rectangles into this one", "automatic_message"),
        ("Revert 0123456789abcdef0123456789abcdef01234567 for good reasons", "hash"),
        ("Revert 0123456789abcdef for several good reasons", ""),
        ("Add the area, cherry picked from commit before", "cherry_picked"),
        ("Change what I wrote about areas", "first_person"),
        ("Change what I've written about areas", "first_person"),
        ("Handle I/O errors of a rectangle", ""),
        ("Add the area, thanks to Ann for it", "thanks"),
        ("Format the area, thanks to a formatter", ""),
        ("Change the area after code review", "code_review"),
        ("Put the thingie in the thingie", "joke"),
        ("Fix issue 12 of the rectangle", "tracker"),
        ("Fix debug 12 of the rectangle", ""),
        ("Fix the area of rectangles (WIP)", "unfinished"),
        ("Add work in progress on the area", "unfinished"),
        ("Wipe the area of a rectangle", "not_imperative"),
        ("Handle a swipe over a rectangle", ""),
        ("Fix the area, see https://example.org now", "link"),
        ("Add the largest rectangle of all | LeetCode", "exercise"),
    ],
)
def test_subjects(subject: str, expected: str) -> None:
    """Words are matched, not parts of words."""
    assert reason(made(subject)) == expected


@pytest.mark.parametrize(
    ("path", "subject", "expected"),
    [
        ("io.py", "Fix the version of a rectangle", ""),
        ("io.py", "Fix the io of a rectangle", "names_file"),
        ("lib/io.py", "Fix the io of a rectangle", "names_file"),
        ("lib/io.py", "Fix the lib of a rectangle", ""),
        ("a+b.py", "Fix the a+b of a rectangle", "names_file"),
        (".py", "Fix the area of a rectangle", ""),
    ],
)
def test_the_name_of_the_file(path: str, subject: str, expected: str) -> None:
    """Its stem as a word of the subject, whatever characters it has."""
    assert reason(made(subject, path=path)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (BEFORE, "", "no_code_after"),
        (BEFORE, " \n\n", "no_code_after"),
        (BEFORE, BEFORE, "same_code"),
        (BEFORE.replace("\n", "\r\n"), BEFORE, "same_code"),
        ("", AFTER, ""),
        ("", "x = 1\n", "too_few_tokens"),
        ("# word word\n" * 300, AFTER, "too_many_tokens"),
        ("# word word\n" * 5000, AFTER, "long_before"),
        (b"# \xff\n", AFTER, "not_utf8"),
        ("", AFTER + "\udc80", "not_utf8"),
        (b"# coding: latin-1\n# \xe9\n", AFTER, ""),
        (BEFORE, AFTER + "x" * 1001, "long_line"),
        (BEFORE, AFTER + "</snippet>\n", "prompt_markup"),
    ],
)
def test_codes(before: str | bytes, after: str | bytes, expected: str) -> None:
    """What is too long, too short, unchanged or unreadable, and what no prompt can show."""
    assert reason(made(before=before, after=after)) == expected


@pytest.mark.parametrize(
    ("subject", "cleaned"),
    [
        (GOOD, GOOD),
        ("[docs] Fix it", "Fix it"),
        ("shapes: Fix it", "Fix it"),
        ("[docs] shapes: Fix it [1/2]", "Fix it"),
        ("Fix it [skip ci]", "Fix it"),
        ("[ci skip] Fix it", "Fix it"),
        ("Fix  it\t now", "Fix it now"),
        ("Fix: it: now", "it: now"),
        ("[docs]", ""),
        ("", ""),
    ],
)
def test_marks_are_taken_out_of_subjects(subject: str, cleaned: str) -> None:
    """The seed has the cleaned subject."""
    assert clean_subject(subject) == cleaned


def test_the_cleaned_subject_is_kept() -> None:
    """And it is what the filters of its first word look at."""
    seed = take(made("[core] geometry: Fix the area of a rectangle"))
    assert isinstance(seed, Seed)
    assert seed.commit_message == GOOD


def test_most_version_bumps_go() -> None:
    """A tenth stays, drawn from the commit: the same each time."""
    rows = [reason(made("Bump the version of all rectangles", number=number)) for number in range(1000)]
    assert set(rows) == {"", "version_bump"}
    assert 60 < rows.count("") < 140
    assert rows[:50] == [reason(made("Bump the version of all rectangles", number=number)) for number in range(50)]


def test_every_filter_can_be_switched_off() -> None:
    """The setting knows all names, in the order in which they are applied; without all, only unusable code goes."""
    assert get_args(CommitFilter) == FILTERS
    every = list(FILTERS)
    for subject in ("fix #1", "", "I'm WIP https://example.org", "Bump it"):
        assert reason(made(subject), commits_skip=every) == ""
    assert reason(made("fix the area of a rectangle"), commits_skip=["not_capitalised"]) == ""
    assert reason(made(after=BEFORE), commits_skip=every) == "same_code"
    with pytest.raises(ValidationError, match="commits_skip"):
        SeedSettings.model_validate({"commits_skip": ["wip"]})


def test_the_imperatives() -> None:
    """Distinct lower-case words, each followed by a blank."""
    assert len(set(IMPERATIVES)) == len(IMPERATIVES) > 250
    assert all(verb == verb.lower() and verb.endswith(" ") and verb.strip() for verb in IMPERATIVES)


def test_tokens_are_characters_unless_there_is_a_tokenizer(tmp_path: Path) -> None:
    """A token is 3.5 characters; a tokenizer is a file or a folder, and a wrong one is refused in one line."""
    assert count_tokens("x" * 35, "y" * 35) == 20
    train_tokenizer("gpt-2").save(str(tmp_path / "tokenizer.json"))
    exact = len(train_tokenizer("gpt-2").encode(BEFORE + "<|endoftext|>" + AFTER).ids)
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        assert count_tokens(BEFORE, AFTER, str(place)) == exact
    assert reason(made(), commits_tokenizer=str(tmp_path), commits_max_tokens=exact) == ""
    assert reason(made(), commits_tokenizer=str(tmp_path), commits_max_tokens=exact - 1) == "too_many_tokens"
    with pytest.raises(SourceError, match="commits_tokenizer names nowhere"):
        count_tokens("", "", "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(SourceError, match=r"cannot read .*broken\.json as a tokenizer"):
        count_tokens("", "", str(tmp_path / "broken.json"))


def test_a_dropped_commit_keeps_its_subject_and_no_code() -> None:
    """Most commits are dropped; one of another licence is kept whole."""
    row, licence = take(made("Fix it")), take(made(), licences=["ISC"])
    assert isinstance(row, Dropped)
    assert isinstance(licence, Dropped)
    assert (row.row["commit_message"], row.row["commit"], row.detail) == ("Fix it", "c0", "6 characters, 2 words")
    assert "seed" not in row.row
    assert (licence.reason, licence.detail, licence.row["seed"]) == ("licence", "MIT", AFTER)


@given(st.text(), st.one_of(st.text(), st.binary()), st.one_of(st.text(), st.binary()), st.text(min_size=1))
def test_any_commit_has_one_outcome(subject: str, before: str | bytes, after: str | bytes, path: str) -> None:
    """Without filters as with them."""
    for skipped in ([], list(FILTERS)):
        row = take(made(subject, before, after, path), commits_skip=skipped)
        assert isinstance(row, Seed | Dropped)


def test_commits_travel_to_other_processes() -> None:
    """The engine extracts them in a pool."""
    assert take(pickle.loads(pickle.dumps(made()))) == take(made())
