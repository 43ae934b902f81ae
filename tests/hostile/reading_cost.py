"""Memory and seconds that reading a file takes, measured in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MEGABYTES = 200
SECONDS = 10  # a guard against bombs on a busy machine; alone each takes far less than one

MEASURE = """
import json, sys, time
from triform.base.errors import UserError
from triform.geometry.io.load import load_mesh
from triform.images.read import read_image
import triform.geometry.io.dae

def memory(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

for name in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")
    before, started = memory("VmRSS"), time.perf_counter()
    try:
        if name.endswith((".obj", ".glb", ".gltf", ".dae", ".wrl")):
            result = load_mesh(name, appearance=True)
        else:
            result = read_image(name)
        said = "read"
    except UserError as error:
        said = str(error)
    seconds = time.perf_counter() - started
    print(json.dumps([name, said, memory("VmHWM") - before, seconds]))
    result = None
"""


def measured(folder: Path, names: list[str]) -> dict[str, tuple[str, float, float]]:
    """Name -> message or "read", megabytes above the start, seconds."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is measured by /proc of Linux")
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, *names],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    return {name: (said, memory, seconds) for name, said, memory, seconds in rows}
