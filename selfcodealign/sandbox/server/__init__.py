"""The server processes: guard, server, forker, and the watch over a running program."""
