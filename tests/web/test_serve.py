import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from live_server import LiveServer

from triform import cli
from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.web.commands import listen
from triform.web.config import ServeConfig

JOB = {"system": "voxel_gan", "verb": "generate", "settings": {"prompt": ["slow"]}}


@pytest.fixture
def start(tmp_path):
    servers = []

    def begin(*flags):
        servers.append(LiveServer(tmp_path, *flags))
        return servers[-1]

    yield begin
    for server in servers:
        server.process.kill()
        server.process.wait()


def test_loopback_is_the_default():
    assert parse(ServeConfig, []).host == "127.0.0.1" and parse(ServeConfig, []).auth is None


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--host", "0.0.0.0"], 2, "needs --auth FILE"),
        (["--folder", "nowhere"], 1, "--folder nowhere: no such folder"),
        (["--port", "70000"], 2, "at most 65535"),
        (["--auth", "nowhere"], 1, "nowhere: not there"),
        (["--share", "true"], 2, "unknown flag --share"),
    ],
)
def test_wrong_flags_end_in_a_line(flags, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["serve", "--port", "0", *flags]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: address already in use"):
            listen("127.0.0.1", port)


def test_help_imports_no_server():
    program = (
        "import sys; from triform.web.config import ServeConfig; import triform.web.commands;"
        "sys.exit(any(name in sys.modules for name in ('fastapi', 'uvicorn', 'torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_server_of_pages_loads_no_model(start):
    """What needs memory is in the worker, which can be stopped; telemetry is off before imports."""
    server = start("--no_warm_up")
    modules = " ".join(each.path for each in psutil.Process(server.process.pid).memory_maps())
    assert "torch" not in modules
    assert psutil.Process(server.process.pid).cwd().endswith("results/.work")
    listening = [
        each.laddr.ip
        for each in psutil.Process(server.process.pid).net_connections()
        if each.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    assert server.end() in (0, 143, -signal.SIGTERM)


def test_kill_9_leaves_a_whole_history(start, tmp_path):
    server = start("--no_warm_up")
    done = server.post("jobs", {**JOB, "settings": {"prompt": ["a chair"]}})["id"]
    server.until(done, ["done"])
    running, waiting = (server.post("jobs", JOB)["id"] for _ in range(2))
    server.until(running, ["running"])
    worker = psutil.Process(server.process.pid).children()[0]
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    psutil.wait_procs([worker], 20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    again = start("--no_warm_up")
    states = {name: again.get(f"results/{name}")["state"] for name in (done, running, waiting)}
    assert states == {done: "done", running: "interrupted", waiting: "interrupted"}
    assert again.get("results")["total"] == 3 and again.get("jobs") == []
    next_job = again.post("jobs", {**JOB, "settings": {"prompt": ["a table"]}})["id"]
    assert again.until(next_job, ["done", "failed"])["state"] == "done"
    assert not [path for path in (tmp_path / "results").rglob("*.part")]


def test_two_servers_do_not_share_results(start, tmp_path):
    start("--no_warm_up")
    second = subprocess.run(
        [sys.executable, "-m", "triform", "serve", "--port", "0", "--no_warm_up"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1 and "another `triform serve` uses this folder" in second.stderr


@pytest.mark.slow
def test_from_a_sentence_to_files_with_the_real_model(tmp_path):
    server = LiveServer(tmp_path, program=False)
    try:
        job = {**JOB, "settings": {"prompt": ["an office chair"], "size_mm": 80, "seed": 3}}
        name = server.post("jobs", job)["id"]
        end = time.monotonic() + 300
        while server.get(f"results/{name}")["state"] in ("queued", "running"):
            assert time.monotonic() < end
            time.sleep(0.2)
        record = server.get(f"results/{name}")
        assert record["state"] == "done" and record["thumbnail"]
        shape = record["answer"][0]["shape"]
        assert shape["watertight"] and max(shape["size_mm"]) == 80
        ends = {file["name"].rpartition(".")[2] for file in record["files"]}
        assert {"glb", "obj", "stl", "ply", "3mf"} <= ends
    finally:
        server.end()
