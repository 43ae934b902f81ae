"""An index by a Ray cluster of two nodes on this machine, and one on a Chroma server."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from photo_folder import make_photos

pytestmark = pytest.mark.slow


def test_two_nodes_make_the_same_bytes(tmp_path, monkeypatch, run):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    make_photos(tmp_path / "photos", 30)
    (tmp_path / "photos/bad.jpg").write_bytes(b"\xff\xd8\xff")
    batches = ["--batch_size", 4]
    run("index", "photos", *batches)
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1, object_store_memory=10**8)
    try:
        flags = ["--index_file", "other.gallery", "--cluster", nodes.address, *batches]
        answer = run("index", "photos", *flags)
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert (answer["new"], answer["unreadable"]) == (30, 1)
    assert Path("other.gallery").read_bytes() == Path("photos.gallery").read_bytes()


def test_served_index(tmp_path, monkeypatch, run):
    pytest.importorskip("chromadb")
    program = shutil.which("chroma", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if program is None:
        pytest.skip("no program `chroma` here")
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 12)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "run", "--path", "served", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        place = ["--index_file", f"chroma://127.0.0.1:{port}/photos"]
        assert run("index", "photos", *place)["new"] == 12
        Path("photos/beach/IMG_000.png").rename("photos/moved.png")
        answer = run("index", "photos", *place)
        assert (answer["moved"], answer["unchanged"], answer["embedded"]) == (1, 11, 0)
        run("index", "photos")
        query = ["photos/moved.png", "--no_words", "--top_k", 5]
        served, here = run("search", *query, *place), run("search", *query)
        assert [row["file"] for row in served] == [row["file"] for row in here]
        assert run("search", "moved", *place)[0]["file"].endswith("moved.png")
    finally:
        server.terminate()
        server.wait(20)
