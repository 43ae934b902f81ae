"""Places where galleries are kept: a file, a Chroma server."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

NUMBERS = count()


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `chroma run` of its own."""
    pytest.importorskip("chromadb", reason="the extra `chroma` is not installed")
    program = shutil.which("chroma", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if program is None:
        pytest.skip("no program `chroma` here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma_server")
    command = [program, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, "chroma run ended"
            time.sleep(0.05)
        yield f"chroma://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(params=["exact", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a gallery can be kept, one of two kinds."""
    if request.param == "exact":
        return str(tmp_path / "things.gallery")
    return f"{request.getfixturevalue('chroma_server')}/things-{next(NUMBERS)}"
