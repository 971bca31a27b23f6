"""A Ray cluster of several nodes on this machine, small and quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.places import ROOT

#: Bytes of each node's object store: nothing large goes through it.
STORE = 100 * 2**20
#: A node that is gone is seen to be after five seconds, not fifteen.
LOST_SOON = {"health_check_period_ms": 500, "health_check_failure_threshold": 10}


@contextmanager
def ray_cluster(nodes: int) -> Iterator[Any]:
    """A head without processors for workers, and `nodes` nodes of one processor each; the driver has not joined."""
    import ray
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # the nodes import what the tests import
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "_system_config": LOST_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            add_node(cluster)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def add_node(cluster: Any) -> Any:
    """Add a node of one processor."""
    return cluster.add_node(num_cpus=1, object_store_memory=STORE)
