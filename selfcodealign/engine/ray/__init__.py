"""`--engine ray`: the row-wise stages of a run on the nodes of a Ray cluster, one worker on each.

The driver has the run folder's lock, does everything that needs all rows, and gives out partitions of a flow; a worker
is the local engine with a name to write under. A worker that is lost is shut out of the run folder before another one
takes its partition, so that one that still works, unnoticed, changes nothing.
"""
