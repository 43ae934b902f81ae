"""What every test stands on: one thread, its own cache folder, shape-checked signatures."""

import ast
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported, here and in the programs that tests start: workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The tests neither read nor fill the user's own cache, and ask no hub.
os.environ["TRIFORM_CACHE"] = tempfile.mkdtemp(prefix="triform-test-cache-")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import jaxtyping._import_hook as jaxtyping_hook
import pytest

is_unchecked = jaxtyping_hook._is_no_type_check


def is_unchecked_or_compiled(node: ast.AST) -> bool:
    """Whether a decorator keeps a function out of the check: numba compiles no wrapped ones."""
    return is_unchecked(node) or "njit" in ast.unparse(node)


# Arrays that cross these rooms are checked against the shapes in their signatures.
jaxtyping_hook._is_no_type_check = is_unchecked_or_compiled
jaxtyping_hook.install_import_hook(
    ["triform.geometry", "triform.layers", "triform.losses"], "beartype.beartype"
)

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # for modules that several tests share
FURNITURE_PLACES = (
    os.environ.get("TRIFORM_FURNITURE", ""),
    str(ROOT / ".cache" / "sweethome3d"),
    str(ROOT / "datasets" / "sweethome3d"),
    "/usr/share/sweethome3d/furniture",
)


@pytest.fixture(scope="session")
def furniture_dir() -> Path:
    """Folder with the `.sh3f` libraries of Debian's package `sweethome3d-furniture`."""
    for position in filter(None, FURNITURE_PLACES):
        found = sorted(Path(position).rglob("*.sh3f"))
        if found:
            return found[0].parent
    pytest.skip("no furniture libraries here: scripts/get_sweethome3d.sh brings them")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where something skipped that could run here, if `TRIFORM_NO_SKIPS` is set.

    Only a reason that begins with "hardware" is one: all that tests need beside that, CI has.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("TRIFORM_NO_SKIPS"):
        return
    # (file, line, "Skipped: reason")
    skipped = {report.longrepr for report in reporter.stats.get("skipped", [])}
    for file, line, reason in sorted(skipped):
        if not reason.removeprefix("Skipped: ").startswith("hardware"):
            reporter.write_line(f"{file}:{line} must not skip here: {reason}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def remove_cache() -> Iterator[None]:
    """Remove the tests' cache folder at the end."""
    yield
    shutil.rmtree(os.environ["TRIFORM_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def let_messages_through() -> Iterator[None]:
    """Let `caplog` see the project's messages once, whatever a test before has set up."""
    logger = logging.getLogger("triform")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def triform(tmp_path: Path) -> Run:
    """The command `triform` as a program of its own, run in the test's folder."""

    def run(
        *arguments: str, timeout: float = 120, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "triform", *arguments],
            cwd=tmp_path,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
