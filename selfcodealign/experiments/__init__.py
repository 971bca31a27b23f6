"""Loops around whole runs: what a small run tells about a large one."""
