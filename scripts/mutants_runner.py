"""Runs tests in a process that is forked off, so that torch is not imported for each change."""

import ast
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

# What the tests import of others, and takes seconds; nothing of ours, which is what changes.
HEAVY = (
    "accelerate",
    "beartype",
    "hypothesis",
    "jaxtyping",
    "matplotlib.pyplot",
    "nltk",
    "numpy",
    "PIL.Image",
    "pydantic",
    "sacrebleu",
    "safetensors.torch",
    "scipy.linalg",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.metrics",
    "timm",
    "torch",
    "torch._dynamo",
    "torch.distributed",
    "torch.utils.tensorboard",
    "torchvision",
    "transformers",
)
# Whether these fail depends on how busy the machine is, and a failure would count as a kill.
TIMED = (
    "test_kill_minus_nine_at_any_moment_changes_nothing",
    "test_ctrl_c_saves_and_names_the_command",
    "test_time_is_a_limit_too",
)
OPTIONS = ("-k", " and ".join(f"not {name}" for name in TIMED))
OPTIONS += ("-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=short")
PAUSE = 0.05


class QuickestFirst:
    """Sorts tests by the seconds that they took before, and writes down what they take now.

    Args:
        file: Seconds by the name of the test; each process that runs tests adds its own.
    """

    def __init__(self, file: Path):
        self.file = file
        self.before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.now: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort; tests that never ran come first, in their order."""
        items.sort(key=lambda item: self.before.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count setup, call and teardown."""
        self.now[report.nodeid] += report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Keep the times of a run in which nothing failed."""
        if exitstatus == 0:
            self.file.write_text(json.dumps({**self.before, **self.now}), encoding="utf-8")


def passes(tests: Sequence[str], seconds: float, durations: Path, *, quiet: bool = True) -> bool:
    """Whether all tests of some files pass within a time.

    Args:
        tests: the files; none pass.
        seconds: after so many they count as failed.
        durations: file with the seconds of each test, so that the quickest are run first.
        quiet: say nothing of what pytest says.
    """
    if not tests:
        return True
    for name in HEAVY:
        importlib.import_module(name)
    child = os.fork()
    if child == 0:
        os._exit(_run(tests, quiet, durations))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(PAUSE)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def seconds_of(files: Sequence[str], durations: Path) -> float:
    """Seconds that the tests of some files took before anything was changed."""
    text = durations.read_text(encoding="utf-8") if durations.is_file() else "{}"
    before: dict[str, float] = json.loads(text)
    return sum(seconds for name, seconds in before.items() if name.partition("::")[0] in files)


def _run(tests: Sequence[str], quiet: bool, durations: Path) -> int:
    """What the forked process does; its status."""
    os.setsid()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "triform"]:
        del sys.modules[name]
    sys.path.insert(0, os.path.abspath("src"))
    try:
        status = int(pytest.main([*OPTIONS, *tests], [QuickestFirst(durations)]))
        return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status  # all are slow
    except BaseException:
        return 1


def changes_nothing(before: str, after: str) -> bool:
    """Whether two sources are the same program."""
    try:
        return ast.dump(ast.parse(before)) == ast.dump(ast.parse(after))
    except SyntaxError:
        return False
