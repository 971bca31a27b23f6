"""A process that holds a `ServedModel` open, to be ended by a signal."""

from __future__ import annotations

import subprocess
import sys

from tests.support.places import ROOT

_CODE = """
import asyncio
from selfcodealign.models.vllm import ServedModel
from selfcodealign.settings import ModelSettings

async def run():
    async with ServedModel(ModelSettings(name="some/model", serve="vllm", replicas={replicas})):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(run())
"""


def start_served(replicas: int | None = None) -> subprocess.Popen[bytes]:
    """Start the process, and wait until its servers are ready."""
    code = _CODE.format(replicas=replicas)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n"
    return process
