"""Figures of a run at work: their names and units, the file that takes them, and a collector where one is named."""
