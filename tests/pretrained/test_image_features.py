"""The feature network that ships, and how images are shown to it."""

import pytest
import torch

from triform.base.errors import UserError
from triform.datasets.images.load import load_images
from triform.pretrained.image_features import (
    image_class_probs,
    image_features,
    preprocess,
)


def test_it_knows_clothes():
    try:
        table = load_images("fashion-mnist")
    except UserError as error:
        pytest.skip(f"the clothes cannot be had: {error}")
    rows = table.rows("test")[:1000]
    images = torch.from_numpy(table.images[rows]).permute(0, 3, 1, 2)
    right = image_class_probs(images).argmax(1) == torch.from_numpy(table.labels[rows])
    assert right.float().mean() > 0.88  # 0.903 on all 10,000
    assert image_features(images[:7]).shape == (7, 64)


def test_any_image_becomes_grey_and_28_wide():
    grey = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(preprocess(grey), grey / 255)
    torch.testing.assert_close(
        preprocess(grey.expand(-1, 3, -1, -1)), grey / 255, atol=1e-6, rtol=0
    )
    large = torch.full((1, 3, 64, 48), 51, dtype=torch.uint8)
    torch.testing.assert_close(preprocess(large), torch.full((1, 1, 28, 28), 0.2))
