"""The part of a benchmark that runs inside the sandbox: standard library only, nothing of the project imported.

A judge process forks one process per answer and suite before it learns any expected value, so an answer can neither
look up nor forge what it is compared with: it only ever hands back plain values through a pipe.
"""
