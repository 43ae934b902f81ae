"""Augmentation of training images and their captions."""

import torch

from triform.systems.captioner.augmentation import jitter, swap_left_right


def test_left_and_right_are_swapped_as_whole_words():
    caption = "A red shirt to the left of a bright bag, Right of a leftover"
    assert (
        swap_left_right(caption) == "A red shirt to the right of a bright bag, left of a leftover"
    )
    assert swap_left_right(swap_left_right(caption)) == caption.replace("Right", "right")


def test_jitter_moves_objects_a_little_and_keeps_white():
    images = torch.ones(64, 3, 32, 32)
    images[:, :, 12:20, 12:20] = 0.3
    generator = torch.Generator().manual_seed(0)
    moved = jitter(images, 0.2, generator)
    assert moved.shape == images.shape and float(moved.min()) >= 0 and float(moved.max()) <= 1
    assert bool((moved[:, :, 0, 0] > 0.999).all())  # the background
    dark = (moved.amax(1) < 0.6).float()
    assert bool((dark.sum((1, 2)) > 25).all())
    assert len({round(float(share), 3) for share in dark.mean((1, 2))}) > 5
    assert torch.equal(jitter(images, 0.0, generator), images)
