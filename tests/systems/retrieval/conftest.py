"""A small library and encoders trained on it for a moment, shared by the tests."""

from pathlib import Path

import pytest

from triform.base.settings import config as settings
from triform.datasets.library.library import Library
from triform.engine.verbs import train
from triform.systems.retrieval import system
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.dataset import open_library

PRESETS = Path(system.__file__).parent / "presets"


def preset(name: str, *flags: str) -> Config:
    """A preset's settings with some flags on top."""
    return settings.parse(Config, ["--config", name, "--device", "cpu", *flags], PRESETS)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for data sets and runs."""
    return tmp_path_factory.mktemp("retrieval")


@pytest.fixture(scope="session")
def folders(workspace: Path) -> list[str]:
    """Flags that keep everything in the workspace."""
    return ["--download_path", str(workspace / "datasets"), "--runs_dir", str(workspace / "runs")]


@pytest.fixture(scope="session")
def library(folders: list[str]) -> Library:
    """The library of the tiny preset: 32 parametric shapes."""
    return open_library(preset("tiny", *folders).data)


@pytest.fixture(scope="session")
def tiny_run(workspace: Path, folders: list[str]) -> Path:
    """The directory of a short run."""
    # In a folder of its own: other tests train as well.
    runs = str(workspace / "tiny_run")
    return Path(train(system.System, preset("tiny", *folders, "--runs_dir", runs))["run"])
