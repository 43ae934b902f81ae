"""Stretched copies: the factors, the names, and that they are the same every time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import trimesh

from triform.datasets.listing import list_shapes
from triform.datasets.stretching import stretch


def test_axes_are_scaled_within_bounds_and_copies_differ(tmp_path: Path) -> None:
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "box.off")
    (shape,) = list_shapes([tmp_path])
    copies = [stretch(shape, copy, 0.25) for copy in range(20)]
    factors = []
    for copy in copies:
        low, high = copy.load().bounds
        factors.append((high - low) / (1, 2, 3))
    assert np.abs(np.log(factors)).max() <= 0.25 and np.abs(np.log(factors)).max() > 0.2
    assert len({copy.fingerprint for copy in [shape, *copies]}) == 21
    assert len({copy.object_id for copy in [shape, *copies]}) == 21
    again = stretch(shape, 3, 0.25)
    assert again.fingerprint == copies[3].fingerprint
    np.testing.assert_array_equal(again.load().vertices, copies[3].load().vertices)
    assert math.isclose(
        factors[3][0], float(again.object_id.split()[-1].split(",")[0]), abs_tol=1e-4
    )
