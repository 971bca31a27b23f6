"""The commits of repositories and of data sets: each has one outcome, and nothing of a repository is run."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.commits import Commit, open_commits
from tests.support.repositories import commit, commit_files, commit_index, git, import_commits, new_repository

MIT = "Permission is hereby granted, free of charge, to any person [...] this permission notice shall be included"
ROW = {
    "commit": "c0ffee",
    "old_file": "lib/a.py",
    "new_file": "lib/a.py",
    "old_contents": "x = 1\n",
    "new_contents": "x = 2\n",
    "subject": "Set x to two",
    "message": "Set x to two\n\nIt was one.\n",
    "lang": "Python",
    "license": "mit",
    "repos": "one/a,two/a",
}


def read(source: object, **settings: Any) -> list[Commit | Dropped]:
    given = SeedSettings(sources=[str(source)], kind="commits", **settings)
    return [row for _, rows in open_commits(given) for row in rows]


def by_commit(repository: Path, **settings: Any) -> dict[str, Commit | Dropped]:
    """The outcomes by the ids of the commits; each commit has one."""
    rows = read(f"git:{repository}", **settings)
    found = {row.row["commit"] if isinstance(row, Dropped) else row.commit: row for row in rows}
    assert len(found) == len(rows) == len({row.id for row in rows})
    return found


def reasons(found: dict[str, Commit | Dropped], *commits: str) -> list[str]:
    return [row.reason if isinstance(row := found[one], Dropped) else "" for one in commits]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repository")


def test_a_commit_of_one_file_has_the_code_before_and_after(repository: Path) -> None:
    """With its subject, path, place and licence; a new file was empty before, a removed one is empty after."""
    added = commit(repository, "Add a.py\n\nWith a body.\n", a__py="x = 1\n")
    licence = commit(repository, "Say the licence", LICENSE=MIT)
    changed = commit(repository, "Change a.py", a__py="x = 2\n")
    removed = commit(repository, "Remove a.py", a__py=None)
    found = by_commit(repository)
    assert list(found) == [removed, changed, licence, added]
    assert reasons(found, licence) == ["other_language"]
    rows = [found[one] for one in (added, changed, removed)]
    assert [(row.before, row.text, row.subject) for row in rows if isinstance(row, Commit)] == [
        (b"", b"x = 1\n", "Add a.py"),
        (b"x = 1\n", b"x = 2\n", "Change a.py"),
        (b"x = 2\n", b"", "Remove a.py"),
    ]
    assert {(row.path, row.origin, row.licence) for row in rows if isinstance(row, Commit)} == {
        ("a.py", "repository", "MIT")
    }


def test_the_root_commit_counts_its_files(repository: Path) -> None:
    """A first commit of two files is one of several files; an empty one changes nothing."""
    root = commit(repository, "Begin", a__py="x\n", b__py="y\n")
    empty = commit_index(repository, "Say nothing")
    found = by_commit(repository)
    assert reasons(found, root, empty) == ["several_files", "no_change"]
    assert isinstance(found[root], Dropped)
    assert found[root].detail == "2 files"  # type: ignore[union-attr]


def test_merges_are_counted(repository: Path) -> None:
    """A merge is no change of one file, whatever it brings; the commits that it brings are read."""
    commit(repository, "Begin", a__py="x\n")
    git(repository, "checkout", "-qb", "side")
    side = commit(repository, "Change aside", a__py="y\n")
    git(repository, "checkout", "-q", "main")
    commit(repository, "Add another", b__py="z\n")
    git(repository, "merge", "-q", "--no-edit", "side")
    merge = git(repository, "rev-parse", "HEAD").strip()
    assert reasons(by_commit(repository), side, merge) == ["", "merge"]


def test_moves_modes_links_and_submodules(repository: Path) -> None:
    """A pure move and a mode alone change no text; a move with a change is two files; a link is no file."""
    text = "".join(f"line_{number} = {number}\n" for number in range(30))
    commit(repository, "Begin", a__py=text)
    git(repository, "mv", "a.py", "b.py")
    moved = commit_index(repository, "Move it")
    (repository / "b.py").chmod(0o755)
    mode = commit(repository, "Make it executable")
    git(repository, "mv", "b.py", "c.py")
    both = commit(repository, "Move and change it", c__py=text + "more = 1\n")
    (repository / "d.py").symlink_to("c.py")
    link = commit(repository, "Link it")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{moved},e.py")
    module = commit_index(repository, "Add a module")
    found = by_commit(repository)
    assert reasons(found, moved, mode, both, link, module) == [
        "",
        "",
        "several_files",
        "no_regular_file",
        "no_regular_file",
    ]
    for one, path in ((moved, "b.py"), (mode, "b.py")):
        row = found[one]
        assert isinstance(row, Commit)
        assert row.path == path
        assert row.before == row.text == text.encode()


def test_binary_and_large_files(repository: Path) -> None:
    """Bytes are given as they are; a file beyond the limit, before or after, is not read."""
    binary = commit(repository, "Add bytes", a__py=b"\x00\xff\xfe\n")
    grown = commit(repository, "Grow", a__py=b"#" * 3000)
    shrunk = commit(repository, "Shrink", a__py=b"#\n")
    found = by_commit(repository, max_file_kib=2)
    assert reasons(found, binary, grown, shrunk) == ["", "too_large", "too_large"]
    assert found[binary].text == b"\x00\xff\xfe\n"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name",
    [
        b"a b.py",
        b"-rf.py",
        b":colon.py",
        b"quote'\".py",
        b"new\nline.py",
        b"tab\t.py",
        b"caf\xe9.py",
        b"\xe2\x82\xac.py",
    ],
)
def test_any_name_of_a_file(repository: Path, name: bytes) -> None:
    """Names are read as bytes; what is no UTF-8 is replaced, since no table could hold it."""
    Path(os.fsdecode(os.fsencode(repository) + b"/" + name)).write_bytes(b"x = 1\n")
    added = commit(repository, "Add it")
    row = by_commit(repository)[added]
    assert isinstance(row, Commit)
    assert row.text == b"x = 1\n"
    assert row.path == name.decode("utf-8", "replace").replace("\ufffd", "?")


def test_messages_in_other_codings(repository: Path) -> None:
    """The coding that a commit names counts; without one, bytes that are no UTF-8 make it unreadable."""
    named, plain, odd = [], [], []
    for coding, found in (("ISO-8859-1", named), (None, plain), ("no-such-coding", odd)):
        headers = f"encoding {coding}\n" if coding else ""
        (repository / "a.py").write_text(f"x = {coding!r}\n")
        git(repository, "add", "a.py")
        tree = git(repository, "write-tree").strip()
        parent = git(repository, "rev-parse", "-q", "--verify", "HEAD").strip() if named else ""
        text = f"tree {tree}\n" + (f"parent {parent}\n" if parent else "")
        text += f"author A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n{headers}\nOuvrir le caf\xe9\n"
        made = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode("latin-1")).strip()
        git(repository, "update-ref", "refs/heads/main", made)
        found.append(made)
    rows = by_commit(repository)
    assert reasons(rows, *named, *plain, *odd) == ["", "not_utf8", "not_utf8"]
    assert rows[named[0]].subject == "Ouvrir le café"  # type: ignore[union-attr]


def test_a_message_of_nothing(repository: Path) -> None:
    """A commit without a message has an empty subject; leading empty lines are passed over."""
    none = commit(repository, "", a__py="x\n")
    row = by_commit(repository)[none]
    assert isinstance(row, Commit)
    assert row.subject == ""


def test_a_message_of_megabytes(repository: Path) -> None:
    """It is not kept, and what follows is read."""
    first = commit(repository, "Begin", a__py="x\n")
    long = commit(repository, "word " * 1_000_000, a__py="y\n")
    last = commit(repository, "Go on", a__py="z\n")
    assert reasons(by_commit(repository), first, long, last) == ["", "too_large", ""]


def test_a_change_and_its_reverts_are_different_commits(repository: Path) -> None:
    """The same texts at the same path, twice: two rows with their own ids (`by_commit` compares them)."""
    for number in range(6):
        commit(repository, "Turn it over", a__py=f"x = {number % 2}\n")
    assert len(by_commit(repository)) == 6


def test_a_shallow_clone_says_where_it_ends(repository: Path, tmp_path: Path) -> None:
    """The oldest commit of the clone looks like one that adds everything, and is no change of one file."""
    for number in range(5):
        commit(repository, "Change it", a__py=f"x = {number}\n")
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{repository}", "shallow")
    found = by_commit(tmp_path / "shallow")
    assert sorted(reasons(found, *found)) == ["", "shallow"]


def test_a_partial_clone_is_refused(repository: Path, tmp_path: Path) -> None:
    """It lacks the code, and the program that its configuration names to fetch it is not run."""
    commit(repository, "Begin", a__py="x = 1\n")
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--bare", "--filter=blob:none", f"file://{repository}", "partial")
    ran = tmp_path / "ran"
    git(tmp_path / "partial", "config", "remote.origin.uploadpack", f"touch {ran}; git-upload-pack")
    with pytest.raises(SourceError, match=r"is a partial clone, .*: clone it without --filter"):
        read(f"git:{tmp_path / 'partial'}")
    assert not ran.exists()


def test_a_text_that_is_gone_is_one_row(repository: Path) -> None:
    """Other commits are read; mirrors leave out their largest files."""
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=b"x = 1\n").strip()
    added = commit(repository, "Begin", a__py="x = 1\n")
    changed = commit(repository, "Change it", a__py="x = 2\n")
    again = commit(repository, "Change it", a__py="x = 3\n")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert reasons(by_commit(repository), added, changed, again) == ["unreadable", "unreadable", ""]


def test_no_program_of_a_repository_runs(repository: Path, tmp_path: Path) -> None:
    """Hooks, file system monitors, pagers, drivers and signing programs of the configuration stay unused."""
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\n")
    program.chmod(0o755)
    commit_files(repository, "Begin", {"a.py": "x = 1\n", ".gitattributes": "*.py diff=own filter=own\n"})
    commit(repository, "Change it", a__py="x = 2\n")
    git(repository, "update-index", "--fsmonitor")
    for hook in ("fsmonitor-watchman", "post-index-change", "reference-transaction"):
        shutil.copy(program, repository / ".git" / "hooks" / hook)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "core.askPass",
        "diff.external",
        "diff.own.textconv",
        "diff.own.command",
        "filter.own.smudge",
        "filter.own.clean",
        "gpg.program",
        "alias.rev-list",
        "alias.cat-file",
        "pager.diff-tree",
    ):
        git(repository, "config", key, str(program))
    git(repository, "config", "log.showSignature", "true")
    ran.unlink(missing_ok=True)  # git itself may have asked the monitor
    assert len(read(f"git:{repository}")) == 2
    assert not ran.exists(), ran.read_text()


def test_a_folder_of_a_repository_and_a_bare_one(repository: Path, tmp_path: Path) -> None:
    """A folder gives the commits that touch it, with paths from the root; a bare repository is read as well."""
    commit_files(repository, "Add one", {"lib/a.py": "x = 1\n"})
    other = commit_files(repository, "Add another", {"other/b.py": "y = 1\n"})
    git(repository, "config", "diff.relative", "true")
    (row,) = read(f"git:{repository / 'lib'}")
    assert isinstance(row, Commit)
    assert row.path == "lib/a.py"
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    assert other in by_commit(tmp_path / "bare.git")


def test_ten_thousand_commits_are_streamed(repository: Path) -> None:
    """The first rows come before the last are read, memory does not grow with the history, and one may stop early."""
    names = ("a.txt", "b.txt", "c.txt", "d.txt", "a.py")
    import_commits(repository, ((f"Set it to {n}", names[n % 5], f"x = {n}\n") for n in range(10_000)))
    ((_, rows),) = open_commits(SeedSettings(sources=[f"git:{repository}"], kind="commits"))
    first = next(rows)
    assert isinstance(first, Commit)
    assert first.subject == "Set it to 9999"
    tracemalloc.start()
    count = 1 + sum(1 for _ in rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 2_000_000
    ((_, rows),) = open_commits(SeedSettings(sources=[f"git:{repository}"], kind="commits"))
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert not _children()


def _children() -> list[str]:
    """The commands of this process's children, ended ones too."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if rest.split()[1] == str(os.getpid()) and "(git" in name:
            found.append(name)
    return found


def test_a_damaged_history_is_one_line(repository: Path) -> None:
    """A missing tree ends the reading with what git says."""
    commit(repository, "Begin", a__py="x\n")
    commit(repository, "Go on", a__py="y\n")
    tree = git(repository, "rev-parse", "HEAD~1^{tree}").strip()
    (repository / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(SourceError, match=r"git cannot read the history of .*repository: .*") as error:
        read(f"git:{repository}")
    assert "\n" not in str(error.value)


# --- data sets ---


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


@pytest.mark.parametrize("name", ["ft.jsonl", "ft.jsonl.gz", "ft.parquet"])
def test_rows_with_the_columns_of_commitpack(tmp_path: Path, name: str) -> None:
    """Each row is a commit; the licence and the first repository are kept, another language and bad rows are drops."""
    rows = [
        ROW,
        ROW | {"new_file": "a.rb"},
        ROW | {"old_contents": None},
        ROW | {"new_contents": None},
        ROW | {"old_contents": "#" * 3000},
    ]
    found = read(write(tmp_path, name, rows), max_file_kib=2)
    assert [row.reason if isinstance(row, Dropped) else "" for row in found] == [
        "",
        "other_language",
        "",
        "malformed_row",
        "too_large",
    ]
    first, new = found[0], found[2]
    assert isinstance(first, Commit)
    assert isinstance(new, Commit)
    assert (first.commit, first.path, first.licence, first.repository) == ("c0ffee", "lib/a.py", "MIT", "one/a")
    assert (first.before, first.text, first.subject, first.origin) == ("x = 1\n", "x = 2\n", "Set x to two", name)
    assert new.before == ""
    assert len({row.id for row in found}) == 5


def test_rows_with_characters_that_no_table_stores(tmp_path: Path) -> None:
    """JSON can hold half of a pair of surrogates; each field but the code has a question mark there."""
    odd = {name: f"{value}\ud800" for name, value in ROW.items()}
    (row,) = read(write(tmp_path, "a.jsonl", [odd | {"new_file": "\ud800.py"}]))
    assert isinstance(row, Commit)
    assert (row.subject, row.path, row.commit) == ("Set x to two?", "?.py", "c0ffee?")
    "".join((row.subject, row.path, row.commit, row.licence, row.repository)).encode()


def test_a_parquet_text_that_is_not_utf8_is_one_row(tmp_path: Path) -> None:
    """It stays bytes, which curation drops; the rows beside it are read."""
    table = pa.Table.from_pylist([ROW, ROW])
    broken = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\2\0\0\0\5\0\0\0"), pa.py_buffer(b"\xff=x=3"), None, 0
    )
    place = table.schema.get_field_index("new_contents")
    pq.write_table(table.set_column(place, "new_contents", broken), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert isinstance(first, Commit)
    assert isinstance(second, Commit)
    assert (first.text, second.text) == (b"\xff=", "x=3")


def test_a_folder_of_shards_and_other_columns(tmp_path: Path) -> None:
    """Shards are read in order; settings name other columns for licence and repository."""
    for number in range(2):
        write(tmp_path, f"{number}.jsonl", [ROW | {"l": "isc", "r": f"three/{number}"}])
    found = read(tmp_path, licence_column="l", repository_column="r")
    assert [(row.licence, row.repository) for row in found if isinstance(row, Commit)] == [
        ("ISC", "three/0"),
        ("ISC", "three/1"),
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("stdlib", "stdlib has no commits"),
        ("package:rich", "package:rich has no commits"),
        ("git:", "git: has no commits"),
        ("code", "code has no commits.* name a repository \\(git:PATH\\)"),
        ("code/a.py", "a.py has no commits"),
        ("git:code", "is not a git checkout"),
        ("git:unborn", "has no commit yet"),
        ("git:nowhere", "does not exist"),
        ("columns.jsonl", 'no column "old_contents" .*it has content.*CommitPack'),
        ("empty.jsonl", "is empty"),
    ],
)
def test_sources_without_commits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    """In one line that names the fix, before anything is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    new_repository(tmp_path / "unborn")
    write(tmp_path, "columns.jsonl", [{"content": "x"}])
    write(tmp_path, "empty.jsonl", [])
    with pytest.raises(SourceError, match=said) as error:
        open_commits(SeedSettings(sources=[source], kind="commits"))
    assert "\n" not in str(error.value)


def test_own_code(repository: Path) -> None:
    """Commits of a source that is the user's are marked so."""
    commit(repository, "Begin", a__py="x\n")
    (row,) = read(f"git:{repository}", own_code=[f"git:{repository}"])
    assert isinstance(row, Commit)
    assert row.own
