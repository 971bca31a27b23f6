"""`push RUN REPO` against a server that speaks the hub's protocol: what arrives is what lies in the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from tests.support.hub_server import HubServer, Repository
from tests.support.published import environment, push


def local_files(run: Path) -> dict[str, bytes]:
    folder = run / "dataset"
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    card = found["README.md"].replace(b'load_dataset("OWNER/NAME"', b'load_dataset("ada/mine"')
    return found | {"README.md": card}


def test_what_arrives_is_what_lies_in_the_run(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """All files and nothing else, byte for byte, in one commit, in a new repository; the card names it. `datasets` then
    reads the rows from there."""
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    done = push(hub, tmp_path, finished, "mine", "--yes", "--private")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["dataset", "ada/mine"]
    assert repository.files == local_files(finished)
    assert repository.private
    assert len(repository.commits) == 2
    assert "pushed: " in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before, "the run itself is not changed"
    assert DatasetCard(repository.files["README.md"].decode()).data.get("size_categories") == ["n<1K"]
    program = "import datasets; print(len(datasets.load_dataset('ada/mine', split='train')))"
    read = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(hub, tmp_path), check=False
    )
    rows = sum(pq.read_metadata(path).num_rows for path in (finished / "dataset" / "data").iterdir())
    assert read.stdout.split()[-1:] == [str(rows)], read.stderr


def test_a_dry_run_asks_nothing_of_the_network(finished: Path, hub: HubServer, tmp_path: Path) -> None:
    """Without a token and a hub it names files, sizes, repository, readers and licence."""
    done = push(hub, tmp_path, finished, "ada/mine", "--dry-run", "--private", HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert "data set ada/mine (private)" in done.stdout
    assert "croissant.json" in done.stdout
    assert "licence: unknown" in done.stdout
    assert hub.requests == []


def test_again_replaces_the_rows_of_the_push_before(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """The same data set changes nothing; another one takes the place of its files, and leaves those of others."""
    assert push(hub, tmp_path, run, "ada/mine", "--yes").returncode == 0
    repository = hub.repositories["dataset", "ada/mine"]
    again = push(hub, tmp_path, run, "ada/mine", "--yes")
    assert "nothing has changed" in again.stdout
    assert len(repository.commits) == 2
    repository.files["notes.txt"] = b"mine"
    (old,) = (run / "dataset" / "data").iterdir()
    old.rename(old.with_name("train-00000000000000ff-00000-of-00001.parquet"))
    done = push(hub, tmp_path, run, "ada/mine", "--yes")
    assert f"removes, of an earlier push: data/{old.name}" in done.stdout
    assert "replaces: README.md" in done.stdout
    assert set(repository.files) == {*local_files(run), "notes.txt"}


def test_what_is_no_part_of_a_data_set_stays(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """Hidden files, other files, links out of the folder: none goes, and the visible ones are named."""
    folder = run / "dataset"
    (tmp_path / "secret.parquet").write_bytes(b"secret")
    (folder / "data" / "linked.parquet").symlink_to(tmp_path / "secret.parquet")
    (folder / ".env").write_text("KEY=1")
    (folder / "data" / ".hidden.parquet").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    done = push(hub, tmp_path, run, "ada/mine", "--yes")
    assert done.returncode == 0, done.stderr
    assert "stays here: notes.txt" in done.stdout
    names = set(hub.repositories["dataset", "ada/mine"].files)
    assert names == {*local_files(run)} - {".env", "notes.txt", "data/.hidden.parquet", "data/linked.parquet"}


def test_a_licence_and_the_report_are_added_where_they_are_asked_for(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """`--license` changes the metadata of the card that goes, `--with-report` adds the page of the run."""
    (run / "report.html").unlink(missing_ok=True)
    missing = push(hub, tmp_path, run, "ada/mine", "--dry-run", "--with-report")
    assert missing.stderr.startswith("error: there is no ")
    assert f"selfcodealign report {run}" in missing.stderr
    (run / "report.html").write_text("<p>report</p>")
    done = push(hub, tmp_path, run, "ada/mine", "--yes", "--with-report", "--license", "CC-BY-4.0")
    assert done.returncode == 0, done.stderr
    files = hub.repositories["dataset", "ada/mine"].files
    assert files["report.html"] == b"<p>report</p>"
    told = DatasetCard(files["README.md"].decode()).data.to_dict()
    assert told["license"] == "cc-by-4.0"
    assert "license_name" not in told
    assert "## Licences" in files["README.md"].decode()


def refused(done: subprocess.CompletedProcess[str], said: str, hub: HubServer) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert hub.changes == [], "nothing was sent"


def test_what_cannot_be_pushed_is_refused_before_anything_is_sent(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """One line with the fix: a folder of neither kind, an impossible name, no token, an unfinished run, a data set
    older than its rows, a broken card, a password in a file, no rows."""
    card = run / "dataset" / "README.md"
    text = card.read_text("utf-8")
    refused(push(hub, tmp_path, tmp_path / "none", "ada/mine"), "there is no folder", hub)
    refused(push(hub, tmp_path, run / "seeds", "ada/mine"), "is neither a run (run.json) nor a model's folder", hub)
    refused(push(hub, tmp_path, run, "a/b/c"), "cannot be a repository: give NAME or OWNER/NAME", hub)
    refused(push(hub, tmp_path, run, "ada/mine", HF_TOKEN=""), "there is no token for the hub", hub)
    card.write_text(text.replace("license:", "license: [", 1))
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "the metadata of README.md cannot be read", hub)
    card.write_text(text + "\nhttps://me:secret@host.example/x\n")
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "holds an address with a password", hub)
    card.write_text(text)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"earlier": ["dataset"]}))
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "is older than its rows; finish it first", hub)
    (run / "run.json").write_text(json.dumps(facts))
    stage = run / "selection" / "stage.json"
    stage.write_text(json.dumps(json.loads(stage.read_text()) | {"books": None}))
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "is not finished (selection is under way)", hub)
    (rows,) = (run / "dataset" / "data").iterdir()
    pq.write_table(pq.read_table(rows).slice(0, 0), rows)
    refused(push(hub, tmp_path, run / "dataset", "ada/mine", "--yes"), "has no rows", hub)


def test_the_hub_is_asked_before_anything_is_sent(run: Path, hub: HubServer, tmp_path: Path) -> None:
    """A token that may only read, a card that the hub does not accept, a public repository where a private one is
    wanted, files of others, and nobody to ask."""
    card = run / "dataset" / "README.md"
    text = card.read_text("utf-8")
    hub.role = "read"
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "the token may only read", hub)
    hub.role = "write"
    card.write_text(text.replace("n<1K", "few", 1))
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), '"size_categories" must be ranges', hub)
    card.write_text(text)
    hub.repositories["dataset", "ada/mine"] = Repository(files={"data/other.csv": b"x"})
    refused(push(hub, tmp_path, run, "ada/mine", "--yes"), "holds other files (data/other.csv): name another", hub)
    refused(push(hub, tmp_path, run, "ada/mine", "--yes", "--private"), "exists and is public", hub)
    done = push(hub, tmp_path, run, "ada/mine", "--overwrite")
    assert done.returncode == 2
    assert "nobody is here to be asked" in done.stderr
    assert hub.changes == []
    assert push(hub, tmp_path, run, "ada/mine", "--overwrite", "--yes").returncode == 0
    assert hub.repositories["dataset", "ada/mine"].files["data/other.csv"] == b"x"
