"""A sandbox with synchronous calls, for tests that are not coroutines."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, Literal

from selfcodealign.sandbox import Limits, Program, Sandbox, Verdict

LIMITS = Limits(seconds=3.0, memory_mib=512, processes=24, open_files=64, file_mib=4, scratch_mib=16, output_kib=512)


class Judge:
    """A sandbox with synchronous calls: an event loop in a separate thread."""

    SANDBOX = Sandbox

    def __init__(self, mode: Literal["namespaces", "landlock"], **settings: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        chosen: dict[str, Any] = {"workers": 2, "limits": LIMITS, "mode": mode} | settings
        self.sandbox = self.SANDBOX(**chosen)
        self.wait(self.sandbox.__aenter__())

    def wait(self, work: Any, seconds: float = 1500) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def __call__(self, response: str | Program, tests: str = "", **fields: Any) -> Verdict:
        program = response if isinstance(response, Program) else Program(response, tests, **fields)
        return self.wait(self.sandbox.run(program))

    def all(self, programs: list[Program]) -> list[Verdict]:
        async def run() -> list[Verdict]:
            return await asyncio.gather(*(self.sandbox.run(program) for program in programs))

        return self.wait(run())

    def close(self) -> None:
        self.wait(self.sandbox.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def scratch_folders(judge: Judge) -> list[Path]:
    """The folders that a sandbox has made on the host; with namespaces there are none."""
    if judge.sandbox.mode == "namespaces":
        return []
    return [Path(worker._scratch).parent for worker in judge.sandbox._all]
