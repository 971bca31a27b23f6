"""The driver: gives the partitions of a flow to workers on the nodes, and completes the flow when all are through."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from selfcodealign.engine import divided
from selfcodealign.engine.gate import Gate
from selfcodealign.engine.gather import ended, gather
from selfcodealign.engine.ray.cluster import Node, RayError, check_nodes, check_sandboxes, connect, leave, list_nodes
from selfcodealign.engine.ray.tallies import Shown
from selfcodealign.engine.ray.worker import Job, Worker
from selfcodealign.errors import UserError
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.writers import DIVIDED, WRITERS
from selfcodealign.stages.context import Context
from selfcodealign.stages.plan import Decision, describe_rows

#: Partitions for each node: a node that is slow or lost leaves little to the others.
PARTITIONS_PER_NODE = 4
#: Seconds between two reports of the workers, and two looks for nodes that have joined.
REPORT_SECONDS, LOOK_SECONDS = 0.5, 5.0
#: Seconds until a worker that has not reported is asked again, and until a node without a free processor is left.
REPORT_TIMEOUT, START_SECONDS = 5.0, 60.0
#: Seconds that workers get to write their finished rows when the run is stopped.
STOP_SECONDS = 60.0
#: Workers that a partition may cost before its rows are taken for the cause, and that a node may lose in a row.
MOST_LOSSES, MOST_LOSSES_OF_NODE = 4, 3


class RayEngine:
    """Takes flows through the nodes of the cluster at `address` (None: Ray is started on this machine)."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    @asynccontextmanager
    async def joined(self, context: Context, executes: bool = False) -> AsyncIterator[None]:
        """Within this context, the driver is part of the cluster, whose nodes are checked; the caller has the folder's
        lock. `executes`: each node needs a sandbox. Raises a `UserError`."""
        with context.progress.waiting("joining the Ray cluster"):
            joined = await asyncio.to_thread(connect, self._address)
        try:
            with context.progress.waiting("checking the nodes of the Ray cluster"):
                nodes = await asyncio.to_thread(list_nodes)
                await asyncio.to_thread(check_nodes, nodes, context.folder.path)
                if executes:
                    await asyncio.to_thread(check_sandboxes, nodes, context.recipe.execution.sandbox)
            cores = sum(node.cores for node in nodes)
            context.progress.say(f"Ray: {len(nodes)} node{'s' * (len(nodes) != 1)}, {cores:.0f} cores")
            yield
        finally:
            if joined:
                await asyncio.to_thread(leave)

    def taking(self, job: Job) -> Callable[[Context, Sequence[Decision], Gate | None], Coroutine[Any, Any, None]]:
        """What takes the rows of a run through a flow."""

        async def each(context: Context, flow: Sequence[Decision], gate: Gate | None = None) -> None:
            assert gate is None, "a budget is kept by one process"
            await self._each(context, flow, job)

        return each

    async def _each(self, context: Context, flow: Sequence[Decision], job: Job) -> None:
        """Take all rows through a flow. When this is cancelled, or a worker tells of something to fix, the workers
        write their finished rows before the error goes on."""
        work = _Flow(context, flow, job)
        await divided.begin(context, flow, await work.count_partitions(), models=False)
        work.show_begin()
        try:
            await work.take_through()
        finally:
            await asyncio.shield(work.stop())
        if divided.complete(context, flow) != 0:
            divided.begin_again(context.folder)
            raise RayError(f"{divided.name_flow(flow)}: rows are missing; the same command looks at all of them again")


class _Flow:
    """One flow: partitions that wait, the workers by name, and what they have told."""

    def __init__(self, context: Context, flow: Sequence[Decision], job: Job) -> None:
        self._context, self._flow, self._job = context, flow, job
        self._stages = [one.step.name for one in flow]
        self._shown = Shown(context.progress, self._stages)
        self._workers: dict[str, Any] = {}
        self._waiting: deque[Partition] = deque()
        self._left = 0  # partitions that are not through
        self._losses: Counter[Partition] = Counter()
        self._number = 0
        self._first = asyncio.Lock()
        self._known = False  # which models these are

    async def count_partitions(self) -> int:
        """Partitions of the flow: as many as an earlier run made, so that those that are through stay so."""
        nodes = len(await asyncio.to_thread(list_nodes))
        before = self._context.folder.facts().get(DIVIDED, {})
        same = before.get("stages") == self._stages and before["of"] >= nodes
        return before["of"] if same else max(1, nodes) * PARTITIONS_PER_NODE

    def show_begin(self) -> None:
        """Start the display of the stages with the rows that are on disk."""
        folder, progress = self._context.folder, self._context.progress
        for number, one in enumerate(self._flow):
            kind, after = one.step.place.gives, one.step.place.after
            assert kind is not None
            before = folder.look_at(after) if number == 0 and after is not None else None
            progress.start(one.step.name, before.books().kept if before is not None else None)
            stage = folder.stage(one.step.name, describe_rows(one.step), kind)
            progress.skip(one.step.name, len(stage.shards.parents()))

    async def take_through(self) -> None:
        """Give out all partitions; returns when each is through."""
        folder = self._context.folder
        of, through = folder.facts()[DIVIDED]["of"], ended(folder)
        self._waiting.extend(Partition(number, of) for number in range(of) if number not in through)
        self._left = len(self._waiting)
        try:
            async with asyncio.TaskGroup() as group:
                nodes = group.create_task(self._watch_nodes(group))
                reports = group.create_task(self._watch_workers())
                while self._left:
                    await asyncio.sleep(0.05)
                nodes.cancel()
                reports.cancel()
        except BaseExceptionGroup as errors:
            raise next((one for one in errors.exceptions if isinstance(one, UserError)), errors.exceptions[0]) from None

    async def stop(self) -> None:
        """Let the workers write what is finished, end them, and take over what they have counted."""
        import ray

        if self._workers:
            closing = [asyncio.ensure_future(_answer(one.close.remote())) for one in self._workers.values()]
            await asyncio.wait(closing, timeout=STOP_SECONDS)
            for one in closing:
                one.cancel()
            await asyncio.gather(*closing, return_exceptions=True)
        for worker in self._workers.values():
            ray.kill(worker)
        self._workers.clear()
        gather(self._context.folder)
        self._context.read_asked_again()

    # ------------------------------------------------------------------------------------------------- one node

    async def _watch_nodes(self, group: asyncio.TaskGroup) -> None:
        """Use every node that is there, and those that join later."""
        used: dict[str, asyncio.Task[None]] = {}
        while True:
            nodes = await asyncio.to_thread(list_nodes)
            for node in nodes:
                if node.id not in used:
                    used[node.id] = group.create_task(self._use(node))
            if not nodes or all(used[node.id].done() for node in nodes):
                raise RayError("no node of the Ray cluster can work any more; the same command resumes the run")
            await asyncio.sleep(LOOK_SECONDS)

    async def _use(self, node: Node) -> None:
        """Give partitions to workers on a node, one after the other, until all are through or the node is lost."""
        name, losses = "", 0
        while self._left and losses < MOST_LOSSES_OF_NODE:
            if not self._waiting:
                await asyncio.sleep(0.1)
                continue
            part = self._waiting.popleft()
            working = bool(name)
            try:
                if not name:
                    self._number += 1
                    name = f"w{self._number}"
                    await self._start(name, node)
                working = True
                _raise(node, await _answer(self._workers[name].work.remote(part)))
            except (*_lost(), TimeoutError) as error:
                self._waiting.appendleft(part)
                self._losses[part] += working
                self._shut_out(name, part, node, error)
                name, losses = "", losses + 1
                await asyncio.sleep(1.0)  # a node that is going down is seen to be
            else:
                self._left -= 1
                losses = 0

    async def _start(self, name: str, node: Node) -> None:
        """Start a worker on a node, with a name that no other has had."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        (self._context.folder.path / WRITERS / name).mkdir(parents=True)
        where = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = ray.remote(Worker).options(num_cpus=node.cores, max_restarts=0, scheduling_strategy=where)
        worker: Any = actor.remote(self._job, name)
        self._workers[name] = worker
        await asyncio.wait_for(_answer(worker.report.remote()), START_SECONDS)
        if not self._known:
            async with self._first:
                if not self._known:
                    told, facts = await _answer(worker.open.remote())
                    _raise(node, told)
                    self._context.folder.record(facts)  # every later worker compares its models with these
                    self._known = True
                    return
        _raise(node, (await _answer(worker.open.remote()))[0])

    def _shut_out(self, name: str, part: Partition, node: Node, error: BaseException) -> None:
        """Take over what a lost worker has left: after that it can commit nothing, even if it is still at work."""
        import ray

        worker = self._workers.pop(name, None)
        if worker is not None:
            with suppress(Exception):
                ray.kill(worker)
        gather(self._context.folder, name)
        self._context.progress.say(f"Ray: a worker on {node.name} is lost ({type(error).__name__}); its rows go on")
        if self._losses[part] >= MOST_LOSSES:
            raise RayError(
                f"{self._losses[part]} workers were lost with the same rows (part {part}), perhaps for lack of memory; "
                "all finished rows are on disk, and the same command resumes"
            )

    async def _watch_workers(self) -> None:
        """Show what the workers do."""
        while True:
            await asyncio.gather(*(self._show(name, worker) for name, worker in list(self._workers.items())))
            self._context.tokens_elsewhere = self._shown.tokens()
            await asyncio.sleep(REPORT_SECONDS)

    async def _show(self, name: str, worker: Any) -> None:
        with suppress(TimeoutError, *_lost()):
            self._shown.take(name, await asyncio.wait_for(_answer(worker.report.remote()), REPORT_TIMEOUT))


def _raise(node: Node, told: str) -> None:
    if told:
        raise RayError(f"{told} (on node {node.name})")


async def _answer(reference: Any) -> Any:
    """What a call of an actor returns; cancelling this does not cancel the call."""
    return await asyncio.shield(asyncio.wrap_future(reference.future()))


def _lost() -> tuple[type[BaseException], ...]:
    """The errors of a worker or a node that is no longer there."""
    from ray import exceptions

    return (
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.ActorUnschedulableError,
        exceptions.RaySystemError,
    )
