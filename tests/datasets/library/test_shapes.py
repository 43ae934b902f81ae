"""A library as a data set of shapes: for systems that learn from voxels."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import voxels_of_ball, write_library

from triform.base.errors import UserError
from triform.datasets.library.decoding import read_voxels
from triform.datasets.library.library import Library
from triform.datasets.library.shapes import is_library
from triform.datasets.listing import list_shapes
from triform.datasets.voxels import voxelize_shapes
from triform.systems.voxel_gan.config import DataConfig
from triform.systems.voxel_gan.data import load_voxel_dataset


def test_listed_like_any_folder(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "balls", voxels=16)
    assert is_library(folder) and not is_library(tmp_path)
    shapes = list_shapes([folder])
    assert [shape.object_id for shape in shapes] == [f"balls/ball{n}" for n in (1, 2, 3)]
    assert shapes[0].captions == ("a ball, number 1", "a round thing 1")
    assert shapes[0].english == shapes[0].captions and shapes[0].source == "balls"
    assert shapes[1].preview() == (folder / "images/ball2_view1.png").read_bytes()
    with pytest.raises(UserError, match="no meshes"):
        shapes[0].load()
    # Named twice it is still one data set.
    assert len(list_shapes([folder, tmp_path / "balls" / ".." / "balls"])) == 3


def test_prepared_voxels_are_used(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "balls", voxels=32)
    for resolution in (32, 16):
        table = voxelize_shapes(list_shapes([folder]), resolution, cache=tmp_path / "cache")
        fine = voxels_of_ball(32).reshape(
            resolution, -1, resolution, 32 // resolution, resolution, 32 // resolution
        )
        assert np.array_equal(table.unpack([1])[0].astype(bool), fine.any((1, 3, 5)))
    before = list_shapes([folder])[0].fingerprint
    np.savez(folder / "voxels/ball1_32.npz", voxels=np.ones((32,) * 3, bool))
    shapes = list_shapes([folder])
    assert shapes[0].fingerprint != before
    table = voxelize_shapes(shapes, 32, cache=tmp_path / "cache")
    assert table.unpack([0]).all() and not table.unpack([1]).all()


def test_bits_and_cells_are_the_same(tmp_path: Path) -> None:
    """Ours are packed; others write plain arrays."""
    folder = write_library(tmp_path / "balls", voxels=16)
    grid = voxels_of_ball(16)
    ways = [
        {"occupancy": np.packbits(grid), "resolution": np.array(16)},
        {"voxels": grid.astype(np.float32)},
        {"data": grid.astype(np.uint8) * 255},
    ]
    library = Library.open(str(folder))
    for way in ways:
        np.savez_compressed(folder / "voxels/ball1_16.npz", **way)
        assert np.array_equal(read_voxels(library, library.objects[0], 16), grid)


def test_without_voxels_one_line_says_how_to_make_them(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "balls")
    with pytest.raises(UserError) as caught:
        voxelize_shapes(list_shapes([folder]), 64, cache=tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message and "no voxels of 64^3 for ball1 (there: none)" in message
    assert "triform shapes prepare MESHES LIBRARY --voxel_size 64" in message
    other = write_library(tmp_path / "others", voxels=24)
    with pytest.raises(UserError, match=r"\(there: 24\^3\)"):
        voxelize_shapes(list_shapes([other]), 64, cache=tmp_path / "cache")
    with pytest.raises(UserError, match="leave fill on"):
        voxelize_shapes(list_shapes([other]), 24, cache=tmp_path / "cache", fill=False)


def test_the_voxel_gan_reads_a_library(tmp_path: Path) -> None:
    names = tuple(f"ball{number}" for number in range(12))
    folder = write_library(tmp_path / "balls", voxels=16, views=1, size=8, points=8, names=names)
    objects = load_voxel_dataset(DataConfig(dataset=(str(folder),), voxel_size=16))
    assert len(objects.table) == 12 and objects.captions[0][1] == "a round thing 1"
    assert np.array_equal(objects.table.unpack([3])[0].astype(bool), voxels_of_ball(16))
    shutil.rmtree(folder / "voxels")
    with pytest.raises(UserError, match="--voxel_size 16"):
        load_voxel_dataset(DataConfig(dataset=(str(folder),), voxel_size=16))
