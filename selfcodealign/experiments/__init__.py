"""Loops around whole runs: what a small run tells about a large one, and what several runs tell about each other."""
