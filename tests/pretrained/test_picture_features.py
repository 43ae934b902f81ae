"""The feature network that ships, and how pictures are shown to it."""

import pytest
import torch

from triform.base.errors import UserError
from triform.datasets.pictures.load import load_pictures
from triform.pretrained.picture_features import (
    as_seen,
    load_feature_net,
    picture_classes,
    picture_features,
)


def test_it_knows_clothes():
    try:
        table = load_pictures("fashion-mnist")
    except UserError as error:
        pytest.skip(f"the clothes cannot be had: {error}")
    rows = table.rows("test")[:1000]
    images = torch.from_numpy(table.images[rows]).permute(0, 3, 1, 2)
    right = picture_classes(images).argmax(1) == torch.from_numpy(table.labels[rows])
    assert right.float().mean() > 0.88  # 0.903 on all 10,000
    assert picture_features(images[:7]).shape == (7, 64)
    assert load_feature_net()[1].startswith("fashion-cnn-")


def test_any_picture_becomes_grey_and_28_wide():
    grey = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(as_seen(grey), grey / 255)
    torch.testing.assert_close(as_seen(grey.expand(-1, 3, -1, -1)), grey / 255, atol=1e-6, rtol=0)
    large = torch.full((1, 3, 64, 48), 51, dtype=torch.uint8)
    torch.testing.assert_close(as_seen(large), torch.full((1, 1, 28, 28), 0.2))
