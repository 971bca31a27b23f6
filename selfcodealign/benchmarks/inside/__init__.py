"""The part of a benchmark that runs inside the sandbox: it imports only the standard library and itself.

A judge process forks one process per answer and suite before it computes any expected value, so an answer can neither
read nor forge the expected values: it only returns plain values through a pipe.
"""
