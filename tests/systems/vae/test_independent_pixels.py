"""The baseline of the bounds against sums worked out by hand."""

import math

import pytest
import torch

from triform.systems.vae.likelihood import independent_pixels


def test_bernoulli_by_hand():
    train = torch.tensor([[0, 255], [255, 255], [0, 0], [0, 255]], dtype=torch.uint8)
    test = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)
    # the first pixel is bright in 1/4 of the training images, the second in 3/4
    first, second = -math.log(0.75) * 2, -math.log(0.25) * 2
    found = independent_pixels(train.view(4, 1, 1, 2), test.view(2, 1, 1, 2), bernoulli=True)
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_gaussian_by_torchs_distribution():
    random = torch.Generator().manual_seed(1)
    train, test = torch.randint(256, (2, 50, 1, 2, 2), generator=random).byte()
    known, requested = train.double() / 255, test.double() / 255
    normal = torch.distributions.Normal(known.mean(0), known.std(0))
    expected = -normal.log_prob(requested).flatten(1).sum(1).mean()
    assert independent_pixels(train, test, bernoulli=False) == pytest.approx(
        float(expected), rel=1e-4
    )
