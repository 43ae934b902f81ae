"""Noise of images and of their variations."""

import torch

from triform.base.seeding import generator
from triform.systems.text_to_image.generation import image_numbers
from triform.systems.text_to_image.noise import image_noise

SHAPE = (4, 50, 50)


def test_an_image_keeps_its_noise_whatever_else_is_drawn():
    expected = torch.randn(SHAPE, generator=generator("image", 7, 3))
    assert torch.equal(image_noise(SHAPE, 7, [3]), expected)
    assert torch.equal(image_noise(SHAPE, 7, [3], 0.5), expected)


def test_a_variation_is_the_image_and_a_share_of_new_noise():
    image = image_noise(SHAPE, 7, [3])
    new = torch.randn(SHAPE, generator=generator("image", 7, 3, 1))
    varied = image_noise(SHAPE, 7, [3, 1], 0.36)
    torch.testing.assert_close(varied, 0.8 * image + 0.6 * new)
    assert torch.equal(image_noise(SHAPE, 7, [3, 1], 0.0), image)
    assert torch.equal(image_noise(SHAPE, 7, [3, 1], 1.0), new)


def test_a_variation_of_a_variation_has_variance_one():
    twice = image_noise(SHAPE, 7, [3, 1, 4], 0.36)
    once = image_noise(SHAPE, 7, [3, 1], 0.36)
    new = torch.randn(SHAPE, generator=generator("image", 7, 3, 1, 4))
    torch.testing.assert_close(twice, 0.8 * once + 0.6 * new)
    assert abs(float(twice.var()) - 1) < 0.05


def test_numbers_of_images_and_variations():
    assert image_numbers("", 3) == [(0,), (1,), (2,)]
    assert image_numbers("2/10", 2) == [(2, 10, 0), (2, 10, 1)]
