"""A Ray cluster of several nodes on this machine, each a process tree of its own."""

import os
from contextlib import chdir, contextmanager

STORE_BYTES = 100 << 20
SECONDS = 180  # for nodes to be seen
TRIES = 4  # Ray gives a node 30 s to start, too little where other tests run beside


@contextmanager
def nodes(count, folder):
    """A cluster of nodes with one CPU each, whose processes work in a folder.

    Yields:
        The cluster, and its nodes besides the first, to which drivers belong.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray lets workers wait for whatever else the machine does, here for other tests.
    os.environ.setdefault("RAY_worker_niceness", "0")
    with chdir(folder):
        cluster, others = _started(count)
    try:
        yield cluster, others
    finally:
        cluster.shutdown()


def _started(count):
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    for attempt in range(1, TRIES + 1):
        cluster = Cluster()
        try:
            cluster.add_node(**options, include_dashboard=False)
            others = [cluster.add_node(wait=False, **options) for _ in range(count - 1)]
            cluster.wait_for_nodes(SECONDS)
        except Exception:
            cluster.shutdown()
            if attempt == TRIES:
                raise
            continue
        return cluster, others
    raise AssertionError("the last try returns or raises")
