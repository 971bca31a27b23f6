"""The sandbox as a tool: rows of files, requests of other machines, stored answers of a run, each judged.

`execute` judges the rows of a file, `service` those that come by HTTP, `stored` the answers that a run has stored,
`conformance` holds programs with the status that each must get.
"""
