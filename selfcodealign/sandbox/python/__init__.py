"""Python programs: code out of Markdown, the program's own process, the evidence, and mutants of the response."""
