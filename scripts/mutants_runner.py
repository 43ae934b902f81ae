"""Runs tests in a process that is forked off, so that torch is not imported for each change."""

import ast
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence

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
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=short")
PAUSE = 0.05


def passes(tests: Sequence[str], seconds: float, *, quiet: bool = True) -> bool:
    """Whether all tests of some files pass within a time.

    Args:
        tests: the files.
        seconds: after so many they count as failed.
        quiet: say nothing of what pytest says.
    """
    for name in HEAVY:
        importlib.import_module(name)
    child = os.fork()
    if child == 0:
        os._exit(_run(tests, quiet))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(PAUSE)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run(tests: Sequence[str], quiet: bool) -> int:
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
        return int(pytest.main([*OPTIONS, *tests]))
    except BaseException:
        return 1


def changes_nothing(before: str, after: str) -> bool:
    """Whether two sources are the same program."""
    try:
        return ast.dump(ast.parse(before)) == ast.dump(ast.parse(after))
    except SyntaxError:
        return False
