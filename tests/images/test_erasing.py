"""Random erasing."""

import torch

from triform.images.erasing import random_erase


def test_random_erase_covers_a_small_rectangle_of_some_images():
    images = torch.full((400, 3, 32, 32), 2.0)
    covered = (random_erase(images, 0.25, torch.Generator().manual_seed(0)) != 2).any(1)
    area = covered.flatten(1).sum(1)
    assert 0.15 < float((area > 0).float().mean()) < 0.35
    assert int(area.max()) <= 9 * 9
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(rows * columns, area)  # rectangles
    assert not bool((random_erase(images, 0.0, torch.Generator()) != 2).any())
