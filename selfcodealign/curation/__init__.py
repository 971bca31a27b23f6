"""Filters on code: the names it uses, the imports it needs, near-duplicates, contamination."""
