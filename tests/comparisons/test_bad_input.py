"""Wrong input to the comparisons, from the command line: one line that names the fix before work, or named losses.

Columns that are missing and tests of an unknown shape: tests/comparisons/test_foreign_data.py.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign import UserError, run, run_recipe
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from tests.support.chat_server import chat_server, reply
from tests.support.command_line import call
from tests.support.comparisons import small
from tests.support.faulty_server import show_page
from tests.support.foreign_rows import make_row, write_rows
from tests.support.gguf_headers import make_header
from tests.support.journey import scripted_model
from tests.support.runs import books, rows_of
from tests.support.tiny_checkpoints import make_checkpoint

SHARDED = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


def gguf(folder: Path) -> Path:
    """A GGUF file, as far as it is read before it is loaded."""
    file = folder.with_suffix(".gguf")
    file.write_bytes(make_header("llama"))
    return file


def adapter(folder: Path) -> Path:
    """An adapter for a checkpoint beside it."""
    base = make_checkpoint(folder.with_name("base"))
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    shutil.copy(base / "model.safetensors", folder / "adapter_model.safetensors")
    return folder


def without_weights(folder: Path) -> Path:
    """A checkpoint whose weights were not copied."""
    (make_checkpoint(folder) / "model.safetensors").unlink()
    return folder


def without_a_shard(folder: Path) -> Path:
    """A checkpoint of two files, of which one was not copied."""
    weights = make_checkpoint(folder) / "model.safetensors"
    weights.rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(SHARDED))
    return folder


def with_a_torn_index(folder: Path) -> Path:
    """A checkpoint whose index is not JSON."""
    without_a_shard(folder)
    (folder / "model.safetensors.index.json").write_text("{")
    return folder


STUDENTS = [
    (gguf, "is a GGUF file, which training cannot change: name a checkpoint's folder"),
    (adapter, "is an adapter, which training cannot change: name a checkpoint's folder"),
    (without_weights, "lacks weights (*.safetensors or pytorch_model*.bin): copy them there, or name the folder that"),
    (without_a_shard, "lacks 1 of the 2 files of its weights, such as model-00002-of-00002.safetensors: copy them"),
    (with_a_torn_index, "model.safetensors.index.json is no index of weight files: copy it from the model again"),
]


@pytest.mark.parametrize(("make", "said"), STUDENTS, ids=[make.__name__ for make, _ in STUDENTS])
def test_a_student_that_cannot_be_tuned_is_refused_before_work(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    """In one line, and not when the rows are made: the generator is whole, only the student is not."""
    student = f'train.model="{make(tmp_path / "student")}"'
    recipe = load_recipe("quickstart", [student, "decontamination.benchmarks=[]"])
    for work in (plan_recipe, run_recipe):
        with pytest.raises(UserError) as caught:
            asyncio.run(work(recipe, tmp_path / "run"))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def refuse(*words: str) -> str:
    """Run a command that is refused: exit status 2, and one line beside those that say what is looked at."""
    done = call("run", *words)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert line.startswith("error: ")
    return line


def test_a_generator_that_cannot_be_tuned_is_told_the_way_out(tmp_path: Path) -> None:
    """A GGUF file writes rows and cannot be tuned: the line names the setting of the student and the shorter run."""
    line = refuse("quickstart", "-m", str(gguf(tmp_path / "m")), "--out", str(tmp_path / "run"))
    assert line.endswith("with train.model, or make the data set alone with --until dataset")
    assert not (tmp_path / "run").exists()


def test_the_student_decides_nothing_about_a_run_without_training(tmp_path: Path) -> None:
    """With --until dataset, a GGUF file may write the rows."""
    words = ["--set", f'train.model="{gguf(tmp_path / "m")}"', "--until", "dataset", "--out", str(tmp_path / "run")]
    done = call("run", "quickstart", *words, "--dry-run")
    assert done.returncode == 0, done.stderr


class Page(BaseHTTPRequestHandler):
    """Answers everything with a web page, as a proxy, a login or a wrong port does."""

    status = 200
    asked: list[str]

    def do_GET(self) -> None:
        page = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome</body></html>"
        self.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "/v1: it answers with a web page, not with the OpenAI API; check host, port and path"),
        (502, "/v1: 502: a web page); start it, or correct models.teacher.urls"),
    ],
    ids=["200", "502"],
)
def test_a_teacher_that_is_a_web_page_is_refused_before_work(tmp_path: Path, status: int, said: str) -> None:
    """One line with its address; no completion is asked of it, and no file is written."""
    page: Any = type("ThisPage", (Page,), {"status": status, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), page) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/v1"
        teacher = [f'models.teacher.urls=["{address}"]', "models.teacher.retry_seconds=0.5"]
        small_one = ['seeds.sources=["stdlib"]', "few_shot.file=tiny", "concepts.examples=1", "instructions.examples=1"]
        settings = [*teacher, *small_one, "decontamination.benchmarks=[]", "model.name=embedded"]
        words = [word for setting in settings for word in ("--set", setting)]
        line = refuse("distill", *words, "--until", "dataset", "--out", str(tmp_path / "run"))
        server.shutdown()
    assert address in line
    assert said in line
    assert set(page.asked) == {"GET /v1/models"}
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_becomes_a_502_page_loses_nothing(tmp_path: Path) -> None:
    """A gateway without its server ends the run in one line; the tasks stay, and the same command asks for the rest."""
    base, settings = scripted_model(), ["models.teacher.name=demo", "models.teacher.retry_seconds=1"]
    with chat_server(show_page(502)) as server:
        recipe = small("distill", tmp_path, f'models.teacher.urls=["{server.url}"]', *settings)
        with pytest.raises(UserError, match="502") as caught:
            run(recipe, tmp_path / "run", model=base, progress=False)
    assert "\n" not in str(caught.value)
    asked = base.calls
    assert asked > 0
    with chat_server(reply("```python\ndef f(n):\n    return n\n```")) as server:
        recipe = small("distill", tmp_path, f'models.teacher.urls=["{server.url}"]', *settings)
        run(recipe, tmp_path / "run", model=base, progress=False)
    assert len(rows_of(tmp_path / "run", "responses")) == 6
    assert base.calls <= max(12, asked)


def test_data_sets_with_clashing_ids_lose_no_row(tmp_path: Path) -> None:
    """Two files, of two forms, whose rows have the same ids: each row is kept and verified, equal ones are counted."""
    first = write_rows(tmp_path / "a" / "rows.jsonl", [make_row(1, id=1), make_row(2, id=1), make_row(3, id=2)])
    second = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([make_row(4, id=1), make_row(5, id=2), make_row(3, id=2)]), second)
    sources = ["--source", str(first), "--source", str(second)]
    words = ["--set", "decontamination.benchmarks=[]", "--set", "execution.warm=[]", "--until", "verify"]
    done = call("run", "verify-foreign", *sources, *words, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert books(tmp_path / "run")["imported"] == (6, 5, {"copy": 1})
    kept = rows_of(tmp_path / "run", "verify")
    assert sorted(row["given_id"] for row in kept) == ["1", "1", "1", "2", "2"]
    assert len({row["instruction_id"] for row in kept}) == 5
