"""What augmentation does to points, and what it leaves alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import points_of_ball

from triform.datasets.library.augmentation import Augmentation

POINTS = points_of_ball(200)


def test_augmentation_is_a_turn_a_stretch_and_a_shift() -> None:
    plain = Augmentation(scale=(1, 1), translation=0, rotation=np.pi)
    moved, normals = plain.transform(POINTS, 2 * POINTS, np.random.default_rng(0))
    np.testing.assert_allclose(moved[:, 1], POINTS[:, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.5, atol=1e-6)
    np.testing.assert_allclose(normals, 2 * moved, atol=1e-6)
    assert np.abs(moved - POINTS).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_augmentation_keeps_its_bounds(seed: int) -> None:
    augment = Augmentation(rotation=1.0)
    moved, normals = augment.transform(POINTS, 2 * POINTS, np.random.default_rng(seed))
    extent = np.ptp(moved, axis=0) / np.ptp(POINTS, axis=0)
    assert (extent > 2 / 3 - 0.02).all() and (extent < 3 / 2 + 0.02).all()
    assert (np.abs(moved.max(0) + moved.min(0)) / 2 < 0.2 + 0.01).all()
    # Normals stay perpendicular to the surface: on an ellipsoid that is the gradient's direction.
    centre = (moved.max(0) + moved.min(0)) / 2
    assert normals.dtype == moved.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (((moved - centre) * normals).sum(1) > 0).all()


def test_normals_of_a_stretched_plane() -> None:
    """Two edges of a triangle stay perpendicular to its normal."""
    random = np.random.default_rng(1)
    triangle = random.standard_normal((3, 3)).astype(np.float32)
    normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    normals = np.tile(normal / np.linalg.norm(normal), (3, 1)).astype(np.float32)
    moved, turned = Augmentation(rotation=2.0).transform(triangle, normals, random)
    edges = np.stack([moved[1] - moved[0], moved[2] - moved[0]])
    np.testing.assert_allclose(edges @ turned[0], 0, atol=1e-5)


def test_jitter_and_colour_drop() -> None:
    many = points_of_ball(20000)
    noise = Augmentation(scale=(1, 1), translation=0, jitter=0.01)
    moved, _ = noise.transform(many, None, np.random.default_rng(0))
    off = moved - many
    # 60,000 draws: their deviation is known to 0.3 %.
    assert off.std() == pytest.approx(0.01, rel=0.02) and np.abs(off).max() <= 0.05 + 1e-6
    drop = Augmentation(color_drop=0.25)
    colors = np.ones((3, 3), np.float32)
    random = np.random.default_rng(0)
    drawn = [drop.recolor(colors, random) for _ in range(2000)]
    share = np.mean([(one == np.float32(0.4)).all() for one in drawn])
    assert all(len(np.unique(one)) == 1 for one in drawn)
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 2000) ** 0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (0, 1)}, {"scale": (2, 1)}, {"rotation": -1}, {"jitter": np.inf}, {"color_drop": 2}],
)
def test_augmentation_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
