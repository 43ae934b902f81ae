import numpy as np
import pytest
import torch

from triform.metrics.voxel import diversity, novelty, pairwise_iou, voxel_iou


def test_iou_against_counting() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 5, 4, 4, 4)) > 0.5
    expected = [(x & y).sum() / (x | y).sum() for x, y in zip(a, b, strict=True)]
    ours = voxel_iou(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    pairs = pairwise_iou(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(pairs.diagonal(), expected, rtol=1e-6)
    nothing = torch.zeros(2, 1, 4, 4, 4)
    assert voxel_iou(nothing, nothing).tolist() == [1, 1]


def test_diversity_of_two_halves_and_a_copy() -> None:
    left = torch.zeros(1, 4, 4, 4)
    left[:, :2] = 1
    right = 1 - left
    assert diversity(torch.stack([left, right])) == 1
    assert diversity(torch.stack([left, left])) == 0
    assert diversity(torch.stack([left, left, right])) == pytest.approx(2 / 3)
    assert diversity(left[None]) == 0


def test_half_is_empty_and_a_little_more_is_occupied() -> None:
    """One of two voxels in common: 0.5 counts as empty, 0.51 and any True as occupied."""
    a = torch.tensor([[0.5, 0.51, 1.0]]).view(1, 1, 3, 1)
    b = torch.tensor([[True, False, True]]).view(1, 1, 3, 1)
    assert voxel_iou(a, b).tolist() == pytest.approx([1 / 3])
    assert pairwise_iou(a, torch.cat([b, ~b])).tolist() == [pytest.approx([1 / 3, 1 / 2])]


def test_novelty_by_hand() -> None:
    """Half of a training bar: 1/2; a mirrored training shape is none; what is nowhere is new."""
    bar, corner, new = (torch.zeros(4, 4, 4) for _ in range(3))
    bar[:, 0, 0] = 1
    corner[0, 3, :2] = corner[0, 2, 0] = 1
    new[1, 1, 3] = 1
    half = bar.clone()
    half[2:] = 0
    shapes = torch.stack([half, corner.flip(0), new])
    training = torch.stack([bar, corner])
    for chunk_size in (1, 256):
        assert novelty(shapes, training, chunk_size).tolist() == [0.5, 0.0, 1.0]
