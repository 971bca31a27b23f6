"""Setup for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples in every run, and no test fails because the machine is busy.
settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")

# A shell starts background processes with Ctrl-C ignored, and nohup with SIGHUP ignored, children included: tests of
# these signals would wait for ever. With a handler here, children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Matrices as small as those of tests gain nothing from a second thread, which spins while other work needs the core.
# Set before torch is imported; commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test asks the net for the benchmarks that rows are compared with.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Expected values that evaluations keep go to a folder of this run, and not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
