"""A Ray cluster of several machines on this one, for tests of the executor; they are skipped where Ray is not installed."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cluster(nodes, monkeypatch):
    """A head and further nodes of one CPU each, to be joined by --address; gives the cluster.

    :param nodes: in all
    """
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # the names of its sockets must be short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    support = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(support.parents[1]), str(support)]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(nodes - 1):
            found.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        found.wait_for_nodes()
        yield found
    finally:
        ray.shutdown()
        found.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
