"""A few parametric shapes and a model trained on them for a moment, shared by the tests."""

from pathlib import Path

import pytest

from triform.base.settings import config as settings
from triform.engine.verbs import train
from triform.systems.voxel_gan import system
from triform.systems.voxel_gan.config import Config
from triform.systems.voxel_gan.data import VoxelDataset, load_voxel_dataset

PRESETS = Path(system.__file__).parent / "presets"


def preset(name: str, *flags: str) -> Config:
    """A preset's settings with some flags on top."""
    return settings.parse(Config, ["--config", name, *flags], PRESETS)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for data sets and runs."""
    return tmp_path_factory.mktemp("voxel_gan")


@pytest.fixture(scope="session")
def tiny_dataset(workspace: Path) -> VoxelDataset:
    """24 parametric shapes at 16^3."""
    return load_voxel_dataset(preset("tiny", "--download_path", str(workspace / "datasets")).data)


@pytest.fixture(scope="session", params=["tiny", "tiny_residual"])
def tiny_run(request: pytest.FixtureRequest, workspace: Path) -> Path:
    """The directory of a short run of either architecture."""
    folders = [
        "--download_path",
        str(workspace / "datasets"),
        "--runs_dir",
        str(workspace / "runs"),
    ]
    return Path(train(system.System, preset(request.param, *folders))["run"])
