"""The same command on a Ray cluster of two nodes on this machine, which share its disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from triform.base.errors import UserError
from triform.datasets.library.preparation.worker_pool import Job, WorkerPool

try:
    from joblib.externals import cloudpickle
except ImportError:  # later versions of joblib depend on it
    import cloudpickle

ray = pytest.importorskip("ray")
# The nodes cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8},
    )
    nodes.add_node(num_cpus=1, object_store_memory=10**8)
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def test_two_nodes_make_the_same_files(
    cluster: Any,
    meshes: Path,
    tmp_path: Path,
    memory: str,
    run: Callable[..., dict[str, Any]],
    contents: Callable[[str], dict[str, bytes]],
    box: Callable[..., str],
) -> None:
    for number in range(20):
        (meshes / f"box{number}.obj").write_text(box(1, 1 + number / 10, 2))
    (meshes / "bad.obj").write_text("")
    run(meshes, memory)
    library = tmp_path / "library"
    summary = run(meshes, library, cluster=cluster.address)
    assert (summary["prepared"], summary["failed"]) == (24, 1)
    assert contents(str(library)) == contents(memory)
    second_run = run(meshes, library, cluster=cluster.address)
    assert (second_run["prepared"], second_run["unchanged"]) == (0, 24)
    pool = WorkerPool(0, cluster.address)
    assert pool.count == 2
    nodes = set(pool.map(Job(os.getenv, failed, 60, 2**30), ["RAY_RAYLET_PID"] * 8))
    assert len(nodes) == 2 and None not in nodes
    ends = list(pool.map(Job(os._exit, failed, 60, 2**30), [1]))
    assert "died" in str(ends[0])


def failed(_: Any, reason: str) -> str:
    return reason


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "127.0.0.1:99999", "nonsense"])
def test_no_cluster_there(address: str) -> None:
    with pytest.raises(UserError, match=f"--cluster {address}: no Ray cluster answers"):
        WorkerPool(0, address)
