"""A judge that is asked about the conformance suite: a program passes when it ends with exit status 0.

    selfcodealign doctor --verdicts --judge "python examples/another_judge.py"

Many filters decide like this. Put your own way of deciding in the place of `decide`. The programs of the suite work
against whoever runs them, so this one runs them behind the walls of the sandbox, as scripts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from selfcodealign import Program, Sandbox
from selfcodealign.sandbox import Limits


async def decide(row: dict[str, Any], sandbox: Sandbox) -> bool:
    """Whether the row's program, response and tests in one text, ends without an error."""
    return (await sandbox.run(Program(row["program"], kind="script"))).passed


async def main() -> None:
    """Read rows, and write one verdict for each as soon as it is there."""
    rows = [json.loads(line) for line in sys.stdin]

    async def answer(row: dict[str, Any]) -> None:
        print(json.dumps({"id": row["id"], "passed": await decide(row, sandbox)}), flush=True)

    async with Sandbox(limits=Limits(seconds=10, cpu_seconds=2)) as sandbox:
        await asyncio.gather(*map(answer, rows))


if __name__ == "__main__":
    asyncio.run(main())
