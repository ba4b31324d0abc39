"""A Ray cluster of several nodes on this machine, each a process tree of its own."""

import os
from contextlib import chdir, contextmanager

STORE_BYTES = 100 << 20
SECONDS = 180  # for nodes to be seen, on a machine that is busy with other things


@contextmanager
def nodes(count, folder):
    """A cluster of nodes with one CPU each, whose processes work in a folder.

    Yields:
        The cluster, and its nodes besides the first, to which drivers belong.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    with chdir(folder):
        cluster = Cluster(
            initialize_head=True, head_node_args={**options, "include_dashboard": False}
        )
        others = [cluster.add_node(wait=False, **options) for _ in range(count - 1)]
    try:
        cluster.wait_for_nodes(SECONDS)
        yield cluster, others
    finally:
        cluster.shutdown()
