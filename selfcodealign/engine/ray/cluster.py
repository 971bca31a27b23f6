"""The nodes of a Ray cluster: connected to, and checked before any work, each problem one line with its fix."""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfcodealign.errors import MissingExtra, RecipeError, RunFolderError, SandboxError, UserError, reason_of
from selfcodealign.sandbox import Sandbox
from selfcodealign.sandbox.pool import Mode

#: Seconds until an address that does not answer is given up, until a cluster that answers lets the driver in, and
#: until a node has answered whether it can work; until a node whose processes fail is seen to be gone.
REACH_SECONDS, JOIN_SECONDS, NODE_SECONDS, LOST_SECONDS = 5.0, 90.0, 120.0, 30.0

#: Set when the driver has left the cluster.
_left = threading.Event()


class RayError(UserError):
    """The Ray cluster cannot be used: unreachable, or its nodes do not fit the driver."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is alive and has processors."""

    id: str
    name: str
    cores: float


def connect(address: str | None) -> bool:
    """Join the cluster at `address`, or start Ray on this machine; whether this call did it. Raises a `UserError`."""
    if find_spec("ray") is None:
        raise MissingExtra("--engine ray", "ray")
    import ray

    if ray.is_initialized():
        return False
    if address is not None and address != "auto":
        _reach(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is None:
        options |= {"include_dashboard": False}
    _call_in_time(lambda: ray.init(address=address or "local", **options), address or "this machine")
    return True


def leave() -> None:
    """Leave the cluster; the Ray that `connect` has started ends."""
    import ray

    ray.shutdown()
    _left.set()


def list_nodes() -> list[Node]:
    """The nodes that can work now."""
    import ray

    return [
        Node(one["NodeID"], one["NodeManagerHostname"], one["Resources"].get("CPU", 0.0))
        for one in ray.nodes()
        if one["Alive"] and one["Resources"].get("CPU", 0.0) >= 1
    ]


def check_nodes(nodes: Sequence[Node], folder: Path) -> None:
    """Raise a `UserError` for nodes with other versions than the driver, or that do not see the run folder."""
    if not nodes:
        raise RayError("the Ray cluster has no node with a processor: start one with ray start --address=HEAD:PORT")
    text, file = secrets.token_hex(8), folder / "shards" / ".probe"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        answers = _ask(nodes, file)
    finally:
        file.unlink(missing_ok=True)
    mine = {"selfcodealign": version("selfcodealign"), "Python": platform.python_version()}
    for node, answer in answers:
        for what, own in mine.items():
            if answer[what] != own:
                raise RayError(
                    f"node {node.name} has {what} {answer[what] or 'not'} installed, and this driver {what} {own}: "
                    "install the same on all nodes"
                )
        if answer["seen"] != text:
            raise RunFolderError(
                f"node {node.name} does not see {folder}: choose an --out on a file system that all nodes mount at the "
                "same path"
            )
        if answer["problem"]:
            raise RunFolderError(f"node {node.name} cannot write in {folder}: {answer['problem']}")


def check_sandboxes(nodes: Sequence[Node], mode: Mode) -> None:
    """Raise `SandboxError` for the first node on which no sandbox of this mode opens; `check_nodes` comes before."""
    for node, problem in _ask_each(nodes, _open_sandbox, mode):
        if problem:
            raise SandboxError(f"{problem} (on node {node.name})")


def _open_sandbox(mode: Mode) -> str:
    """Open a sandbox on this machine and close it; what is wrong. Runs on the nodes."""

    async def open_and_close() -> None:
        async with Sandbox(workers=1, mode=mode):
            pass

    try:
        asyncio.run(open_and_close())
    except UserError as error:
        return str(error)
    return ""


def _ask(nodes: Sequence[Node], file: Path) -> list[tuple[Node, dict[str, str]]]:
    return _ask_each(nodes, _make_probe(), str(file))


def _ask_each(nodes: Sequence[Node], function: Callable[..., Any], *given: Any) -> list[tuple[Node, Any]]:
    """What a function returns on each node; nodes that are lost meanwhile are left out, as they are during work."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe = ray.remote(function)
    asked = []
    for node in nodes:
        where = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked.append(probe.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(*given))
    _, missing = ray.wait(asked, num_returns=len(asked), timeout=NODE_SECONDS)
    if missing:
        names = ", ".join(node.name for node, one in zip(nodes, asked, strict=True) if one in missing)
        raise RayError(f"no answer within {NODE_SECONDS:.0f} s from {names}: remove or restart these nodes (ray stop)")
    answers = []
    for node, one in zip(nodes, asked, strict=True):
        try:
            answers.append((node, ray.get(one)))
        except ray.exceptions.RayError as error:
            if not _is_lost(node):
                raise RayError(f"node {node.name} of the cluster fails: {reason_of(error)}") from error
    return answers


def _is_lost(node: Node) -> bool:
    """Whether the cluster comes to see that a node is gone."""
    deadline = time.monotonic() + LOST_SECONDS
    while lives := any(one.id == node.id for one in list_nodes()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return not lives


def _make_probe() -> Callable[[str], dict[str, str]]:
    """What a node is asked: a function that is sent as code, since the node may lack this package."""

    def probe(path: str) -> dict[str, str]:
        import os
        import platform
        from contextlib import suppress
        from importlib.metadata import PackageNotFoundError, version

        found = {"Python": platform.python_version(), "selfcodealign": "", "seen": "", "problem": ""}
        with suppress(PackageNotFoundError):
            found["selfcodealign"] = version("selfcodealign")
        try:
            with open(path) as file:
                found["seen"] = file.read()
            own = f"{path}-{os.getpid()}-{platform.node()}"
            with open(own, "w"):
                os.unlink(own)
        except OSError as error:
            found["problem"] = str(error.strerror)
        return found

    return probe


def _reach(address: str) -> None:
    """Raise `RayError` where nothing listens at HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        raise RecipeError(
            f"--address {address}: give HOST:PORT of the cluster's head, as in 10.0.0.1:6379, and run the driver on "
            "one of its nodes; auto finds the cluster of this machine"
        )
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise RayError(
            f"no Ray cluster at {address} ({reason_of(error)}): start its head with ray start --head --port={port}"
        ) from None


def _call_in_time(call: Callable[[], object], where: str) -> None:
    """Call in a thread that is left behind when it takes too long. It else lives until `leave`: processes that Ray
    starts on this machine are killed by Linux when the thread that has started them ends."""
    raised: list[BaseException] = []
    returned = threading.Event()
    _left.clear()

    def body() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)
        returned.set()
        _left.wait()

    threading.Thread(target=body, daemon=True).start()
    if not returned.wait(JOIN_SECONDS):
        raise RayError(
            f"{where} does not let this driver join within {JOIN_SECONDS:.0f} s: is a Ray head running there?"
        )
    if raised:
        _left.set()
        raise RayError(f"cannot join the Ray cluster at {where}: {reason_of(raised[0])}") from raised[0]
