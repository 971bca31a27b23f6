"""Python programs: code from Markdown, the program's process, the evidence, and mutants of the response."""
