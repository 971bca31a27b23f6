"""Commit → seed: the code after it, with the code before it and its subject.

The filters are those of CommitPackFT's two passes (OctoPack, arXiv 2308.07124): small changes of one file whose subject
reads like an instruction. Where the published passes match parts of words ("wip" in "swipe", the file `io.py` in
"version"), words are matched here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from selfcodealign.curation.source_text import decode_source, drop_file
from selfcodealign.errors import MissingExtra, SourceError, reason_of
from selfcodealign.generation.prompts import find_markup
from selfcodealign.rows import Dropped, Seed, digest, seed_of
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.commits import Commit
from selfcodealign.sources.licences import UNKNOWN, is_permitted

_LONGEST_LINE = 1000
_SHOWN = 1000  # characters of a dropped commit's subject
_MOST_BEFORE = 50_000  # characters
_CHARACTERS_PER_TOKEN = 3.5
_BETWEEN = "<|endoftext|>"  # the published filter counts the tokens of both texts with this between them
_ONE_BUMP_OF = 10

_VERBS = """
    abort accelerate access accumulate add address adjust advance align allot allow amplify annotate append apply
    archive arrange attach augment automate backup boost break bring brush_up build bump call change check choose
    clarify clean clear clone comment complete compress concatenate configure connect consolidate convert copy correct
    cover create customize cut deal_with debug decipher declare decommission decomplexify decompress decrease decrypt
    define delete deploy designate destroy detach determine develop diminish disable discard disentangle dismantle
    divide document downgrade drop duplicate edit embed emphasize enable encrypt enforce enhance enlarge enumerate
    eradicate escalate establish exclude exit expand expedite expire extend facilitate fix format gather generalize
    halt handle hasten hide implement improve include increase increment indent index inflate initialize insert
    install integrate interpolate interrupt introduce isolate join kill leverage load magnify maintain make manage
    mark mask mend merge migrate modify monitor move multiply normalize optimize orchestrate order package paraphrase
    paste patch plug prepare prepend print provision purge put quit raise read reannotate rearrange rebase reboot
    rebuild recomment recompile reconfigure reconnect rectify redact redefine reduce refactor reformat refresh
    reimplement reinforce relocate remove rename reorder reorganize repackage repair rephrase replace reposition
    reschedule reset reshape resolve restructure return revert revise revoke reword rework rewrite rollback save scale
    scrub secure select send set settle simplify solve sort speed_up split stabilize standardize stipulate stop store
    streamline strengthen structure substitute subtract support swap switch synchronize tackle tag terminate test
    throw tidy transform transpose trim troubleshoot truncate tweak unblock uncover undo unify uninstall unplug
    unpublish unravel unstage unsync untangle unwind update upgrade use validate verify watch watermark whitelist
    withdraw work write
"""
#: What a subject begins with, in lower case: the imperatives of the published filter.
IMPERATIVES: tuple[str, ...] = tuple(verb.replace("_", " ") + " " for verb in _VERBS.split())

_TRIVIAL = {"readme", "update", "updated", "dummy", "test"} | {
    f"{verb} readme{ending}" for verb in ("update", "updated") for ending in ("", ".md")
}
_AUTOMATIC = ("auto commit", "update contributing", "<?xml", "merge branch", "merge pull request", "signed-off-by")
_JOKES = {
    "fix that bug where things didn't work but now they should",
    "put the thingie in the thingie",
    "add a beter commit message",
}


@dataclass(frozen=True)
class _Change:
    """What the filters look at; `lower` is the subject in lower case."""

    source: Commit
    before: str
    after: str
    subject: str
    lower: str
    settings: SeedSettings

    @cached_property
    def tokens(self) -> int:
        """The tokens of both texts."""
        return count_tokens(self.before, self.after, self.settings.commits_tokenizer)


Filter = Callable[[_Change], str]


def _matching(pattern: str) -> Filter:
    """A filter for a pattern in the lower-cased subject, which it returns."""
    compiled = re.compile(pattern)
    return lambda change: found.group() if (found := compiled.search(change.lower)) else ""


def _one_of(subjects: set[str]) -> Filter:
    return lambda change: change.lower if change.lower in subjects else ""


def _names_file(change: _Change) -> str:
    stem = PurePosixPath(change.source.path).stem
    return stem if stem and re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", change.subject) else ""


def _is_short(change: _Change) -> str:
    words = len(change.subject.split())
    return "" if len(change.subject) > 10 and words > 4 else f"{len(change.subject)} characters, {words} words"


def _is_long(change: _Change) -> str:
    words = len(change.subject.split())
    return "" if len(change.subject) < 1000 and words < 1000 else f"{len(change.subject):,} characters, {words:,} words"


def _is_version_bump(change: _Change) -> str:
    """All but a tenth of the changes of a version, drawn by the commit."""
    begins = next(
        (words for words in ("Bump", "Set version", "Update version") if change.subject.startswith(words)), ""
    )
    return begins if seed_of(change.source.id, "version bump") % _ONE_BUMP_OF else ""


def _too_few_tokens(change: _Change) -> str:
    return f"{change.tokens} tokens" if change.tokens < change.settings.commits_min_tokens else ""


def _too_many_tokens(change: _Change) -> str:
    return f"{change.tokens:,} tokens" if change.tokens > change.settings.commits_max_tokens else ""


#: The filters that look at a commit as it was written; each returns what it found, "" for nothing.
_RAW: dict[str, Filter] = {
    "long_before": lambda change: "" if len(change.before) < _MOST_BEFORE else f"{len(change.before):,} characters",
    "issue_reference": lambda change: change.subject if "#" in change.subject else "",
    "names_file": _names_file,
    "short_subject": _is_short,
    "long_subject": _is_long,
}
#: The filters that look at it with the cleaned subject.
_CLEAN: dict[str, Filter] = {
    "short_subject": _is_short,
    "not_capitalised": lambda change: "" if change.subject[:1].isupper() else change.subject,
    "too_few_tokens": _too_few_tokens,
    "too_many_tokens": _too_many_tokens,
    "not_imperative": lambda change: "" if change.lower.startswith(IMPERATIVES) else change.subject,
    "trivial_subject": _one_of(_TRIVIAL),
    "automatic_message": _matching("|".join(map(re.escape, _AUTOMATIC))),
    "version_number": _matching(r"^v?\d+\.\d+\.\d+"),
    "hash": _matching(r"^[0-9a-f]+(-[0-9a-f]+)*\Z|[0-9a-f]{40}"),
    "cherry_picked": _matching("cherry picked from commit"),
    "version_bump": _is_version_bump,
    "first_person": _matching(r"(?<!\S)i(?!\S)|\bi['’](ve|m)\b"),
    "thanks": _matching(r"\bthanks to\b.*\bfor\b|\bfor\b.*\bthanks to\b"),
    "code_review": _matching(r"\bcode review\b|//codereview"),
    "joke": _one_of(_JOKES),
    "tracker": _matching(r"\b(issue|bug|feature)\s*\d+|cdpcp"),
    "unfinished": _matching(r"\bwork in progress\b|\bwip\b"),
    "link": _matching(r"https?://"),
    "exercise": _matching(r"\| leetcode\b"),
}
#: The names of all filters, in the order in which they are applied first.
FILTERS: tuple[str, ...] = tuple(_RAW | _CLEAN)


def extract_commit(commit: Commit, settings: SeedSettings) -> list[Seed | Dropped]:
    """One commit as a seed, or as a drop with its reason.

    Besides the filters (`settings.CommitFilter`) it is dropped as `not_utf8`, `no_code_after`, `same_code`,
    `long_line`, `prompt_markup` or `licence`, the first that holds.
    """
    try:
        before, after = decode_source(commit.before), decode_source(commit.text)
    except (UnicodeError, SyntaxError) as error:
        return [drop_file(commit, "not_utf8", str(error), commit_message=commit.subject[:_SHOWN])]
    subject = clean_subject(commit.subject)
    raw = _Change(commit, before, after, commit.subject, commit.subject.lower(), settings)
    clean = _Change(commit, before, after, subject, subject.lower(), settings)
    problem = _find_useless(before, after) or _apply(_RAW, raw) or _apply(_CLEAN, clean) or _find_unshowable(after)
    if problem:  # most commits are dropped, and their code would fill the disk
        return [drop_file(commit, problem[0], problem[1][:_SHOWN], commit_message=commit.subject[:_SHOWN])]
    seed = Seed(
        seed_id=digest("seed", "commit", before, after, subject),
        source_id=commit.id,
        seed=after,
        function="",
        origin=commit.origin,
        source_path=commit.path,
        source_line=1,
        commit=commit.commit,
        licence=commit.licence,
        repository=commit.repository,
        kind="commits",
        old_code=before,
        commit_message=subject,
    )
    if not commit.own and not is_permitted(commit.licence, settings.licences):
        return [Dropped(parent=commit.id, reason="licence", detail=commit.licence or UNKNOWN, row=seed.fields())]
    return [seed]


def clean_subject(subject: str) -> str:
    """The subject without marks: `[skip ci]`, a first word in brackets or with a colon, a last word in brackets.

    >>> clean_subject("[docs] parser: Explain how errors are raised [skip ci] [1/2]")
    'Explain how errors are raised'
    """
    words = re.sub(r"\[(skip ci|ci skip)\]", "", subject).split()
    if words and _is_bracketed(words[0]):
        words = words[1:]
    if words and words[0].endswith(":"):
        words = words[1:]
    if words and _is_bracketed(words[-1]):
        words = words[:-1]
    return " ".join(words)


def _is_bracketed(word: str) -> bool:
    return word.startswith("[") and word.endswith("]")


def _find_useless(before: str, after: str) -> tuple[str, str] | None:
    if not after.strip():
        return "no_code_after", ""
    return ("same_code", "") if before == after else None


def _find_unshowable(after: str) -> tuple[str, str] | None:
    """Why no prompt can show the code, as (reason, detail)."""
    lines = after.split("\n")
    longest = max(map(len, lines))
    if longest > _LONGEST_LINE:
        return "long_line", f"{longest:,} characters"
    marks = find_markup(lines)
    return ("prompt_markup", marks) if marks else None


def _apply(filters: dict[str, Filter], change: _Change) -> tuple[str, str] | None:
    """The first filter that drops the change, and what it found."""
    for name, find in filters.items():
        if name not in change.settings.commits_skip and (found := find(change)):
            return name, found
    return None


def count_tokens(before: str, after: str, tokenizer: str | None = None) -> int:
    """The tokens of both texts: by a tokenizer's file, else a token is 3.5 characters."""
    if tokenizer is None:
        return int((len(before) + len(after)) / _CHARACTERS_PER_TOKEN)
    return len(load_tokenizer(tokenizer).encode(before + _BETWEEN + after, add_special_tokens=False).ids)


@lru_cache(maxsize=1)
def load_tokenizer(path: str) -> Any:
    """Load a tokenizer.json, or the one in a folder. Raises `SourceError` or `MissingExtra`."""
    file = Path(path).expanduser()
    file = file / "tokenizer.json" if file.is_dir() else file
    if not file.is_file():
        raise SourceError(f"seeds.commits_tokenizer names {path}, and there is no {file}: name a tokenizer.json")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("seeds.commits_tokenizer", "local") from None
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare exceptions
        raise SourceError(f"cannot read {file} as a tokenizer: {reason_of(error)}") from None
