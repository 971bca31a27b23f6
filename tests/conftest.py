"""What every test may rely on."""

from __future__ import annotations

import signal

# A suite that is started in the background is told by the shell to ignore Ctrl-C, and so would all its children: the
# tests of Ctrl-C would then wait for ever. With a handler here, children begin with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
