import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os
from pathlib import Path
os.access = lambda path, mode: False
from triform.base.compiled import njit
folder = Path(os.environ["NUMBA_CACHE_DIR"])
assert folder == Path(os.environ["TRIFORM_CACHE"]) / "numba"


@njit(cache=True)
def double(x):
    return 2 * x


assert double(3) == 6
assert list(folder.rglob("*.nbc"))
"""


def test_a_package_and_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    environment |= {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written") == 1 and "Error" not in done.stderr
