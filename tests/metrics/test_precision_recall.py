"""Precision and recall in cases that can be said beforehand."""

import pytest
import torch

from triform.metrics.precision_recall import _share_within, nearest_neighbors, precision_recall


def test_same_apart_and_half_of_the_points():
    random = torch.Generator().manual_seed(0)
    real = torch.randn(400, 2, generator=random)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real + 100, real) == (0.0, 0.0)
    both = torch.cat([real, real + 100])
    precision, recall = precision_recall(real, both)
    assert precision == 1.0 and recall == 0.5


def test_nearest_is_what_a_plain_search_finds():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(70, 3, generator=random), torch.randn(50, 3, generator=random)
    distances, indices = nearest_neighbors(a, b, chunk=16)
    plain = (a[:, None] - b[None]).norm(dim=2)
    assert torch.equal(indices, plain.argmin(1))
    torch.testing.assert_close(distances, plain.min(1).values)


def test_three_neighbours_by_hand():
    """Balls of the real ones: [-7, 7], [-5, 7], [-1, 7], [0, 14], [1, 29]; their rims count."""
    real = torch.tensor([[0.0], [1], [3], [7], [15]])
    generated = torch.tensor([[-7.0], [-7.5], [14], [29], [29.5]])
    # The ball of the generated -7.5 reaches 36.5 far, up to 29: it holds all of the real ones.
    assert precision_recall(generated, real) == (pytest.approx(3 / 5), 1.0)
    assert precision_recall(real, generated) == (1.0, pytest.approx(3 / 5))
    assert _share_within(generated, real, chunk=2) == pytest.approx(3 / 5)
