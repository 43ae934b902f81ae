"""Transparency: backgrounds and bytes."""

import torch

from triform.systems.text_to_image.compositing import as_bytes, composite


def test_half_transparent_red_on_grey():
    red = torch.tensor([0.5, 0.0, 0.0, 0.5]).view(1, 4, 1, 1)  # colours times alpha
    expected = torch.tensor([0.7, 0.2, 0.2]).view(1, 3, 1, 1)
    torch.testing.assert_close(composite(red, 0.4), expected)
    assert as_bytes(red).flatten().tolist() == [255, 0, 0, 128]


def test_rgb_stays_as_it_is():
    images = torch.rand(2, 3, 4, 4)
    assert composite(images, 0.0) is images
    assert torch.equal(as_bytes(images), (images * 255).round().byte())


def test_nothing_is_white_on_white():
    assert torch.equal(composite(torch.zeros(1, 4, 2, 2)), torch.ones(1, 3, 2, 2))
