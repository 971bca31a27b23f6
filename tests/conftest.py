"""Setup for all tests."""

from __future__ import annotations

import signal

# A shell starts background processes with Ctrl-C ignored, children included: tests of Ctrl-C would wait for ever. With
# a handler here, children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
