"""Coders of pictures at any size."""

import pytest
import torch

from triform.layers.picture_coder import PictureDecoder, PictureEncoder
from triform.layers.picture_facts import halvings


@pytest.mark.parametrize("size", [4, 5, 8, 28, 31, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back_has_the_same_shape(size, channels):
    images = torch.rand(2, channels, size, size)
    codes = PictureEncoder(channels, size, 8, 5)(images)
    assert codes.shape == (2, 5)
    assert PictureDecoder(channels, size, 8, 5)(codes).shape == images.shape


def test_sizes_are_halved_until_few_pixels_are_left():
    assert [halvings(size) for size in (8, 28, 31, 32, 64)] == [
        (1, 4), (2, 7), (2, 8), (3, 4), (4, 4),
    ]  # fmt: skip
