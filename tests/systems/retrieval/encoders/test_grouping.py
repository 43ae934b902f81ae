import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from triform.systems.retrieval.encoders import grouping
from triform.systems.retrieval.encoders.grouping import (
    farthest_indices,
    group_points,
    nearest_indices,
)


def plain_farthest(points, count):
    """The definition: the point with the largest distance to those chosen so far."""
    selected = [0]
    while len(selected) < count:
        distances = np.linalg.norm(points[:, None] - points[selected][None], axis=-1).min(1)
        selected.append(int(distances.argmax()))
    return selected


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 60), st.integers(1, 5), st.integers(0, 9999))
def test_farthest_points_by_the_definition(total, count, seed):
    points = np.random.default_rng(seed).normal(size=(2, total, 3)).astype(np.float32)
    found = farthest_indices(torch.from_numpy(points), count)
    assert found.tolist() == [plain_farthest(cloud.astype(float), count) for cloud in points]


def test_many_points_take_the_other_way_to_the_same(monkeypatch):
    points = torch.randn(2, 3000, 3, generator=torch.Generator().manual_seed(0))
    expected = farthest_indices(points, 64)
    monkeypatch.setattr(grouping, "MIN_TREE_POINTS", 1)
    assert torch.equal(farthest_indices(points, 64), expected)


def test_points_on_a_line_by_hand():
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0], [5, 0, 0]]])
    assert farthest_indices(points, 3).tolist() == [[0, 3, 4]]
    assert farthest_indices(points, 2, start=4).tolist() == [[4, 0]]


def test_copies_of_one_point_are_no_obstacle():
    assert farthest_indices(torch.zeros(1, 4, 3), 4).shape == (1, 4)


def test_neighbours_by_the_definition():
    random = torch.Generator().manual_seed(1)
    points, centers = (torch.randn(2, n, 3, generator=random) for n in (50, 7))
    found = nearest_indices(points, centers, 5).sort(-1).values
    expected = torch.cdist(centers, points).argsort(-1)[..., :5].sort(-1).values
    assert torch.equal(found, expected)


def test_groups_are_relative_and_keep_what_belongs_to_a_point():
    random = torch.Generator().manual_seed(2)
    points = torch.rand(3, 40, 6, generator=random)
    groups, centers = group_points(points, 5, 4)
    assert groups.shape == (3, 5, 4, 6) and centers.shape == (3, 5, 3)
    # every member, shifted back, is a point of the cloud with its own colour
    back = groups.clone()
    back[..., :3] += centers[:, :, None]
    distance = (back.flatten(1, 2)[:, :, None] - points[:, None]).abs().sum(-1).amin(-1)
    assert distance.max() < 1e-5
    # and the centre itself is one of them
    assert (groups[..., :3].norm(dim=-1).amin(-1) < 1e-6).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda p: farthest_indices(p, 6),
        lambda p: farthest_indices(p, 0),
        lambda p: nearest_indices(p, p, 6),
    ],
)
def test_more_than_there_is_cannot_be_asked_for(call):
    with pytest.raises(ValueError, match="of 5 points"):
        call(torch.zeros(1, 5, 3))
