"""Setup for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

# A shell starts background processes with Ctrl-C ignored, children included: tests of Ctrl-C would wait for ever. With
# a handler here, children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Expected values that evaluations keep go to a folder of this run, and not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
