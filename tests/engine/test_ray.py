"""The Ray engine on a cluster of several nodes on this machine: the rows of a local run, whatever is lost meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.engine.ray.cluster import RayError
from selfcodealign.engine.ray.driver import RayEngine
from selfcodealign.errors import MissingExtra, RecipeError, RunFolderError, SandboxError, UserError
from selfcodealign.pipeline import run_recipe
from selfcodealign.settings import Recipe
from tests.support.faulty_server import refused_port
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.processes import process_tree, wait_for
from tests.support.ray_cluster import add_node, ray_cluster
from tests.support.runs import books, everything, rows_of
from tests.support.shards import rows_on_disk, run_locally

#: Arguments: the folder of sources, the folder of the run, the address of the cluster.
DRIVER = """
import asyncio, sys
from pathlib import Path
from tests.engine.test_ray import run_slowly
asyncio.run(run_slowly(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


def slow_recipe(sources: Path) -> Recipe:
    return small_recipe(sources, "flush_seconds=0.05", "responses.execute=false")


async def run_slowly(sources: Path, run: Path, address: str | None, until: str = "dataset") -> None:
    """A run that can be disturbed: each answer takes a while, and no program is run."""
    model = scripted_model(latency=0.1, concurrency=2)
    engine = RayEngine(address)
    await run_recipe(slow_recipe(sources), run, until=until, model=model, engine=engine)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(2) as running:
        yield running


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source files, and beside them the run of one process, `seeds` up to its seeds and `local` to its end."""
    folder = tmp_path_factory.mktemp("ray")
    recipe = slow_recipe(write_sources(folder / "sources", 18))
    asyncio.run(run_recipe(recipe, folder / "seeds", until="near_dedup"))
    asyncio.run(
        run_recipe(recipe, with_seeds(folder / "sources", folder / "local"), until="dataset", model=scripted_model())
    )
    return folder / "sources"


def with_seeds(sources: Path, run: Path) -> Path:
    """A run of which one process has made the seeds, so that the first flow on the nodes is the one that asks."""
    shutil.copytree(sources.parent / "seeds", run)
    return run


def check_same(run: Path, sources: Path) -> None:
    """The run has the rows and books of the local one, and nothing of its workers is left."""
    local = sources.parent / "local"
    assert everything(run) == everything(local)
    assert books(run) == books(local)
    assert [path for path in (run / "shards").iterdir() if path.is_dir()] == []


async def test_lost_workers_and_nodes_change_no_row(cluster: Any, sources: Path, tmp_path: Path) -> None:
    """A worker is killed, then a node: others take their partitions, and a node that joins is used."""
    run = with_seeds(sources, tmp_path / "run")
    doomed = add_node(cluster)
    working = asyncio.create_task(run_slowly(sources, run, cluster.address))
    await asyncio.to_thread(wait_for, lambda: rows_on_disk(run, "concepts", "w*") > 2)
    workers = [pid for pid in process_tree(os.getpid()) if b"ray::Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 3
    os.kill(workers[0], signal.SIGKILL)
    await asyncio.sleep(1)
    cluster.remove_node(doomed, allow_graceful=False)
    await working
    check_same(run, sources)


def test_a_killed_driver_is_resumed_and_a_second_one_refused(cluster: Any, sources: Path, tmp_path: Path) -> None:
    """The driver is killed with rows under way. While it lived, another driver was refused; the same call resumes."""
    run = with_seeds(sources, tmp_path / "run")
    words = [sys.executable, "-c", DRIVER, str(sources), str(run), cluster.address]
    driver = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: rows_on_disk(run, "concepts", "w*") > 2)
    with pytest.raises(UserError, match="is in use by another run"):
        asyncio.run(run_slowly(sources, run, cluster.address))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    asyncio.run(run_slowly(sources, run, cluster.address))
    check_same(run, sources)


async def test_a_stopped_run_keeps_its_rows(cluster: Any, sources: Path, tmp_path: Path) -> None:
    """Cancelling, as Ctrl-C does, lets the workers write what is finished and ends them; one process goes on."""
    run = with_seeds(sources, tmp_path / "run")
    working = asyncio.create_task(run_slowly(sources, run, cluster.address))
    await asyncio.to_thread(wait_for, lambda: rows_on_disk(run, "concepts", "w*") > 2)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not any(path.is_dir() for path in (run / "shards").iterdir())
    await run_recipe(slow_recipe(sources), run, until="dataset", model=scripted_model())
    check_same(run, sources)


def open_without_namespaces(mode: str) -> str:
    """What a node answers whose kernel gives no user namespaces: the count of those in a namespace of its own is 0."""
    ask = "from selfcodealign.engine.ray.cluster import _open_sandbox; print(_open_sandbox('namespaces'))"
    refuse = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    return subprocess.check_output(
        ["unshare", "-Ur", "sh", "-c", refuse, sys.executable, ask], text=True, cwd=ROOT
    ).strip()


async def test_what_a_node_lacks_is_said_before_work(
    cluster: Any, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node with another version, one that does not see the run folder, one on which no sandbox opens for want of user
    namespaces: one line each, and no row is made."""
    from selfcodealign.engine.ray import cluster as checked

    async def refused(told: str, kind: type[UserError]) -> None:
        with pytest.raises(kind, match=told):
            await run_slowly(sources, tmp_path / "run", cluster.address)
        assert not list((tmp_path / "run").rglob("*.parquet"))

    with monkeypatch.context() as patch:
        patch.setattr(checked, "version", lambda name: "9.9")
        await refused(r"has selfcodealign 0.1.0 installed, and this driver selfcodealign 9.9", RayError)
    with monkeypatch.context() as patch:
        ask = checked._ask
        patch.setattr(checked, "_ask", lambda nodes, file: ask(nodes, file.with_name("elsewhere")))
        await refused("does not see .*choose an --out on a file system that all nodes mount", RunFolderError)
    with monkeypatch.context() as patch:
        patch.setattr(checked, "_open_sandbox", open_without_namespaces)
        recipe, engine = small_recipe(sources), RayEngine(cluster.address)
        refuses = r"refuses the wall 'user namespace'.*; allow .* \(on node .*\)$"
        with pytest.raises(SandboxError, match=refuses):
            await run_recipe(recipe, tmp_path / "run", until="dataset", model=scripted_model(), engine=engine)
        assert not list((tmp_path / "run").rglob("*.parquet"))


async def test_ray_is_started_where_no_address_is_given(sources: Path, tmp_path: Path) -> None:
    """Without a cluster, Ray on this machine takes the rows, and ends with the run."""
    run = tmp_path / "run"
    await run_slowly(sources, run, None, until="decontamination")
    for kind in ("kept", "dropped"):
        assert rows_of(run, "decontamination", kind) == rows_of(sources.parent / "local", "decontamination", kind)
    assert list((run / "decontamination").glob("kept-w*.parquet"))


async def test_an_address_without_a_cluster_is_refused_at_once(sources: Path, tmp_path: Path) -> None:
    """Nothing listens there, or it is no address: one line with the fix."""
    with (
        refused_port() as port,
        pytest.raises(RayError, match=rf"no Ray cluster at 127.0.0.1:{port} .*ray start --head"),
    ):
        await run_slowly(sources, tmp_path / "run", f"127.0.0.1:{port}")
    with pytest.raises(RecipeError, match="give HOST:PORT of the cluster's head"):
        await run_slowly(sources, tmp_path / "run", "ray://head:10001")


async def test_without_ray_the_extra_is_named(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of ray is not tried."""
    monkeypatch.setattr("selfcodealign.engine.ray.cluster.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"--engine ray needs an optional dependency"):
        await run_slowly(sources, tmp_path / "run", "auto")


@pytest.mark.slow
async def test_programs_run_on_the_nodes(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With execution: each node has a sandbox, and the verdicts are those of one process."""
    sources = write_sources(tmp_path / "sources", 12)
    recipe = small_recipe(sources)
    engine = RayEngine(cluster.address)
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=scripted_model(), engine=engine)
    judge_by_text(monkeypatch)
    await run_locally(recipe, tmp_path / "local")
    assert books(tmp_path / "run") == books(tmp_path / "local")
