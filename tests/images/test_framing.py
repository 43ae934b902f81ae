"""Crops to the object, on any background and on white."""

import numpy as np
import pytest
from PIL import Image

from triform.images.framing import (
    WHITE_MARGIN,
    crop_to_square,
    frame,
    frame_on_white,
    is_not_white,
    on_white,
)


def box(size=60, top=10, left=5, height=20, width=40, color=(200, 30, 30)):
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[top : top + height, left : left + width] = (*color, 255)
    return rgba


def extent(alpha):
    rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def test_frame_centres_the_object_whatever_the_background():
    transparent = frame(box(), 42)
    top, bottom, left, right = extent(transparent[..., 3])
    assert (bottom - top, right - left) == (20, 40)
    assert abs(top - (42 - bottom)) <= 1 and abs(left - (42 - right)) <= 1
    for color in ((255, 255, 255), (0, 0, 0), (20, 90, 160)):
        image = Image.new("RGB", (60, 60), color)
        image.paste(Image.fromarray(box()), mask=Image.fromarray(box()[..., 3]))
        assert np.array_equal(frame(image, 42)[..., 3] > 127, transparent[..., 3] > 127)


def test_frame_keeps_a_image_whose_border_is_uneven():
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    left, right = extent(frame(noise, 64)[..., 3])[2:]
    assert left <= 2 and right >= 62


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9, 4), np.uint8), np.full((9, 9, 3), 7, np.uint8), np.zeros((1, 1, 3), np.uint8)],
)
def test_frame_of_nothing(image):
    assert frame(image, 16).shape == (16, 16, 4)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGBA"])
def test_frame_of_any_mode(mode):
    assert frame(Image.fromarray(box()).convert("RGB").convert(mode), 20).shape == (20, 20, 4)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (30, 5), (40, 60)])
def test_frame_on_white_does_not_depend_on_the_position(top, left):
    image = np.full((80, 100, 3), 255, np.uint8)
    image[top : top + 20, left : left + 40] = (200, 30, 30)
    square = frame_on_white(image)
    side = round(40 * (1 + 2 * WHITE_MARGIN))
    assert square.shape == (side, side, 3)
    rows, columns = np.nonzero((square < 250).any(2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 40)
    assert abs(rows.min() + rows.max() + 1 - side) <= 1
    assert abs(columns.min() + columns.max() + 1 - side) <= 1


def test_one_channel_below_white_is_enough():
    image = np.full((1, 5, 3), 255, np.uint8)
    image[0, 1:] = [(249, 255, 255), (255, 249, 255), (255, 255, 249), (250, 250, 250)]
    assert is_not_white(image).tolist() == [[False, True, True, True, False]]


def test_without_white_edges_frame_on_white_only_pads():
    photo = np.random.default_rng(0).integers(0, 200, (30, 20, 3), dtype=np.uint8)
    square = frame_on_white(photo)
    start = (len(square) - 20) // 2
    assert square.shape[0] == square.shape[1] == round(30 * (1 + 2 * WHITE_MARGIN))
    assert np.array_equal(square[(len(square) - 30) // 2 :][:30, start : start + 20], photo)


def test_frame_on_white_of_a_white_image():
    assert bool((frame_on_white(np.full((10, 20, 3), 255, np.uint8)) == 255).all())


def test_crop_to_square_by_hand():
    """A column of two pixels and 2 * 0.2 * 2 of margin: the side of 2.8 is rounded up or down."""
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4, 1)
    mask = np.zeros((3, 4), bool)
    mask[1:, 2] = True
    square = crop_to_square(image, mask, margin=0.2, fill=0)
    assert square[..., 0].tolist() == [[0, 7, 0], [0, 11, 0], [0, 0, 0]]
    rounded = crop_to_square(image, mask, margin=0.2, fill=9, round_side=int)
    assert rounded[..., 0].tolist() == [[7, 9], [11, 9]]


def test_frame_on_white_by_a_mask():
    image = np.full((4, 6, 3), 255, np.uint8)
    image[0, 0] = image[3, 5] = 0
    mask = is_not_white(image) & (np.arange(6) > 2)
    assert frame_on_white(image, mask).tolist() == [[[0, 0, 0]]]


def test_on_white_by_hand():
    rgba = np.array([[[100, 0, 255, 51], [10, 20, 30, 255], [9, 9, 9, 0]]], np.uint8)
    assert on_white(rgba).tolist() == [[[224, 204, 255], [10, 20, 30], [255, 255, 255]]]
