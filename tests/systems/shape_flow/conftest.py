"""A model trained on a few parametric shapes for a moment, shared by the tests."""

from pathlib import Path

import pytest

from triform.base.settings import config as settings
from triform.engine.verbs import train
from triform.systems.shape_flow import system
from triform.systems.shape_flow.config import Config
from triform.systems.shape_flow.data import ShapeDataset, load_shape_dataset

PRESETS = Path(system.__file__).parent / "presets"


def preset(name: str, *flags: str) -> Config:
    """A preset's settings with some flags on top."""
    return settings.parse(Config, ["--config", name, *flags], PRESETS)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for data sets and runs."""
    return tmp_path_factory.mktemp("shape_flow")


@pytest.fixture(scope="session")
def folders(workspace: Path) -> list[str]:
    """Flags that keep everything in the workspace."""
    parts = {"download_path": "datasets", "runs_dir": "runs"}
    return [flag for name, part in parts.items() for flag in (f"--{name}", str(workspace / part))]


@pytest.fixture(scope="session")
def tiny_dataset(folders: list[str]) -> ShapeDataset:
    """24 parametric shapes at 32^3."""
    return load_shape_dataset(preset("tiny", *folders).data)


@pytest.fixture(scope="session")
def tiny_run(folders: list[str]) -> Path:
    """The directory of a short run of all stages at once."""
    return Path(train(system.System, preset("tiny", *folders))["run"])
