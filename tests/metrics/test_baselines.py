"""Baselines without learning, against answers worked out by hand."""

import pytest
import torch

from triform.metrics.image_quality import gaussian_images
from triform.tasks.few_shot.evaluation import mean_accuracy, nearest_pixels


def episode(support: list[list[float]], labels: list[int], query: list[list[float]]):
    return {
        "support": torch.tensor(support).view(1, len(support), 1, 1, -1),
        "support_labels": torch.tensor([labels]),
        "query": torch.tensor(query).view(1, len(query), 1, 1, -1),
        "query_labels": torch.zeros(1, len(query), dtype=torch.int64),
    }


def test_nearest_pixels_compares_shapes_and_not_brightness():
    # the second query is the first example, darker and on another level
    requested = [[9.0, 0, 0], [0.5, 0.4, 0.4], [0, 0, 1.0]]
    some = episode([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [2, 0, 1], requested)
    assert nearest_pixels(some).tolist() == [[2, 2, 1]]


def test_nearest_pixels_takes_the_level_away_first():
    # as it is, the query points where the bright second example does; without levels at the first
    some = episode([[0.1, 0, 0], [1.0, 1.0, 0.9]], [3, 4], [[0.9, 0.8, 0.8]])
    assert nearest_pixels(some).tolist() == [[3]]


def test_nearest_pixels_in_every_task_of_a_batch():
    one = episode([[1.0, 0, 0], [0, 1.0, 0]], [0, 1], [[1.0, 0, 0], [0, 1.0, 0]])
    two = episode([[1.0, 0, 0], [0, 1.0, 0]], [1, 0], [[1.0, 0, 0], [0, 1.0, 0]])
    both = {name: torch.cat([one[name], two[name]]) for name in one}
    assert nearest_pixels(both).tolist() == [[0, 1], [1, 0]]
    # of the queries' labels, all 0, half are right in either task
    assert mean_accuracy(nearest_pixels, lambda *_: both, 2, 0)["accuracy"] == 50


def test_gaussian_images_have_mean_and_covariance_of_the_training():
    random = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 4000, generator=random)
    known = torch.stack([100 + 20 * first, 120 - 10 * first + 5 * second], 1).view(-1, 1, 1, 2)
    generated = gaussian_images(known.round().byte(), 4000).float().view(-1, 2)
    assert generated.mean(0).tolist() == pytest.approx([100, 120], abs=1.5)
    covariance = torch.cov(generated.T)
    assert covariance[0, 0].item() == pytest.approx(400, rel=0.1)
    assert covariance[0, 1].item() == pytest.approx(-200, rel=0.1)
    assert covariance[1, 1].item() == pytest.approx(125, rel=0.1)
    assert torch.equal(gaussian_images(known.byte(), 5), gaussian_images(known.byte(), 5))
