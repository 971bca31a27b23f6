"""In a container whose profile refuses namespaces, the sandbox starts in Landlock mode."""

from __future__ import annotations

import subprocess
import sys

import pytest

from selfcodealign.sandbox.isolation.kernel import MACHINE
from selfcodealign.sandbox.isolation.landlock import FIRST_WITH_TRUNCATE, landlock_abi

# The calls that the default profiles of containerd and Docker refuse without CAP_SYS_ADMIN, by number on x86_64.
UNDER_A_PROFILE = """
import asyncio, errno, sys
from selfcodealign.errors import SandboxError
from selfcodealign.sandbox import Program, Sandbox
from selfcodealign.sandbox.isolation import kernel, seccomp

ALLOW = (0x06, 0, 0, 0x7FFF0000)
def refuse(code):
    return (0x06, 0, 0, 0x50000 | code)

refused = {435: errno.ENOSYS}  # clone3
for number in (272, 308, 165, 166, 155, 442, 428, 429, 430, 161, 321, 298, 250, 248, 249, 323, 304):
    refused[number] = errno.EPERM  # unshare, setns, mount, umount2, pivot_root, mount_setattr ...
code = [(0x20, 0, 0, 0)]
for number, error in refused.items():
    code += [(0x15, 0, 1, number), refuse(error)]
code += [(0x15, 0, 3, 56), (0x20, 0, 0, 16), (0x45, 0, 1, 0x7E020000), refuse(errno.EPERM), ALLOW]  # clone
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install_filter(seccomp.compile_filter(code))

async def main():
    try:
        async with Sandbox(1, mode=sys.argv[1]) as sandbox:
            good = await sandbox.run(Program("def two():\\n    return 2", "assert two() == 2"))
            bad = await sandbox.run(Program("open('/etc/shadow')", kind="script"))
            print(sandbox.mode, good.status, bad.status, bad.error_type)
    except SandboxError as error:
        print(error)
asyncio.run(main())
"""


def start(mode: str) -> str:
    done = subprocess.run([sys.executable, "-c", UNDER_A_PROFILE, mode], capture_output=True, text=True, check=True)
    return done.stdout.strip()


pytestmark = pytest.mark.skipif(MACHINE != "x86_64", reason="the profile's numbers are those of x86_64")


@pytest.mark.skipif(landlock_abi() < FIRST_WITH_TRUNCATE, reason="this kernel's Landlock cannot stand alone")
def test_auto_takes_landlock_where_the_profile_refuses_namespaces() -> None:
    """The walls of Landlock mode stand under Kubernetes' RuntimeDefault profile."""
    assert start("auto") == "landlock passed blocked PermissionError"


def test_the_missing_wall_is_named() -> None:
    """Asked for namespaces, it says which wall the profile refuses and what to take instead."""
    message = start("namespaces")
    assert "refuses the wall 'user namespace'" in message
    assert 'mode="landlock"' in message
