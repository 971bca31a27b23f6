"""The explorer: rows of a run in a browser, served from this machine or written as a static site."""
