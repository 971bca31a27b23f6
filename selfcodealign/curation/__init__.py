"""What code must be to serve: the names it uses, the imports it needs, no near-duplicate, no benchmark text."""
