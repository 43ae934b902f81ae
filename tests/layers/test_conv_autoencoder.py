"""Convolutional encoder and decoder at any size."""

import pytest
import torch

from triform.layers.conv_autoencoder import ImageDecoder, ImageEncoder


@pytest.mark.parametrize("size", [4, 5, 8, 28, 31, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_images_have_the_shape_of_the_encoded_ones(size, channels):
    images = torch.rand(2, channels, size, size)
    latents = ImageEncoder(channels, size, 8, 5)(images)
    assert latents.shape == (2, 5)
    assert ImageDecoder(channels, size, 8, 5)(latents).shape == images.shape
