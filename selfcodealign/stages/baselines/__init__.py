"""Stages of other published methods, for comparisons; each is one file, as in `stages/`."""
