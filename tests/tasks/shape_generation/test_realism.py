"""1-NNA and novelty by hand."""

from __future__ import annotations

import pytest
import torch
import trimesh

from triform.geometry.mesh import Mesh
from triform.metrics.intervals import mean_and_interval, share_interval
from triform.tasks.shape_generation.realism import summarize_novelty, two_sample_test


def box(*sides: float) -> Mesh:
    made = trimesh.creation.box(sides)
    return Mesh(made.vertices, made.faces)


CUBES = [box(1, 1, 1), box(1, 0.9, 1)]
RODS = [box(1, 0.2, 0.2), box(1, 0.25, 0.2)]


def test_sets_that_lie_apart_and_pairs_that_lie_together() -> None:
    apart = two_sample_test(CUBES, RODS)
    assert apart["accuracy"] == 1.0
    assert apart["interval"] == [round(end, 4) for end in share_interval(4, 4)]
    assert (apart["generated"], apart["real"]) == (2, 2)
    assert two_sample_test([CUBES[0], RODS[0]], [CUBES[1], RODS[1]])["accuracy"] == 0.0


def test_size_does_not_count_but_proportions_do() -> None:
    """The nearest of each large box is the small one of the same proportions."""
    large = [box(10, 10, 10), box(10, 2, 2)]
    assert two_sample_test(large, [CUBES[0], RODS[0]])["accuracy"] == 0.0


def test_novelty_of_solids() -> None:
    """Half of the first is a training solid, the second is one mirrored in x."""
    training = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    training[0, 0, 0, 0] = True
    solids = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    solids[0, 0, 0, :2] = True
    solids[1, 3, 0, 0] = True
    report = summarize_novelty(solids, training)
    mean, half_width = mean_and_interval(torch.tensor([0.5, 0.0]))
    assert (report["mean"], report["median"]) == (0.25, 0.0)
    assert report["interval"] == [
        pytest.approx(mean - half_width, abs=1e-4),
        pytest.approx(mean + half_width, abs=1e-4),
    ]
    assert summarize_novelty(solids[:1], training) == {"mean": 0.5, "median": 0.5}
