"""A small shape library with views, and a tiny system trained on it for a moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from triform import systems
from triform.base.settings.config import parse
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.preparation import prepare
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.system import System

PRESETS = systems.load("shap_e").presets


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 12 parametric shapes: 3 views of 16 pixels, 128 points, voxels of 16^3."""
    folder = tmp_path_factory.mktemp("shap_e")
    prepare.run(
        PrepareSettings(
            meshes=("testdataset:12",),
            library=str(folder / "library"),
            views=3,
            image_size=16,
            points=128,
            voxel_size=(16,),
            workers=1,
            download_path=str(folder / "datasets"),
        )
    )
    return folder / "library"


@pytest.fixture
def configure(shapes: Path) -> Callable[..., Config]:
    """Settings of the tiny preset on that library, changed by flags."""

    def make(*flags: str) -> Config:
        given = ["--config", "tiny", "--data_dir", str(shapes), "--device", "cpu"]
        return parse(Config, [*given, *flags], PRESETS)

    return make


@pytest.fixture
def build(configure: Callable[..., Config]) -> Callable[..., System]:
    """A system with those settings."""
    return lambda *flags: System(configure(*flags))
