"""Perceptual hashes against a transform by hand, and which changes leave an image the same."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageOps

from triform.images.perceptual_hash import PerceptualHash, perceptual_hash, same_image_pairs


def scene(seed: int) -> Image.Image:
    """Smooth random colours, which every quality keeps."""
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(pixels).resize((360, 280), Image.Resampling.BICUBIC)


def quality(image: Image.Image, value: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=value)
    return Image.open(stream)


def test_bits_are_signs_of_the_lowest_frequencies_about_their_median():
    image = scene(0).resize((64, 64))  # which is not averaged before
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    values = np.empty((8, 8))
    for row in range(8):
        for column in range(8):
            values[row, column] = sum(
                grey[y, x]
                * math.cos(math.pi * row * (2 * y + 1) / 64)
                * math.cos(math.pi * column * (2 * x + 1) / 64)
                for y in range(32)
                for x in range(32)
            )
    expected = np.packbits(values > np.median(values))
    np.testing.assert_array_equal(perceptual_hash(image).bits, expected)


def test_a_large_image_is_averaged_before_and_its_edges_keep_their_place():
    """Blocks of 5 x 5 pixels; of the last column one pixel in five is there."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (64, 80, 3), np.uint8).repeat(5, 0).repeat(5, 1)
    left, right = blocks[:, :-5], blocks[:, -5:-4]
    image = Image.fromarray(np.concatenate([left, right], axis=1))
    box = (0, 0, 79.2, 64)
    small = Image.fromarray(np.ascontiguousarray(blocks[::5, ::5]))
    grey = small.convert("L").resize((32, 32), Image.Resampling.LANCZOS, box)
    cosines = np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)
    values = cosines @ np.asarray(grey, float) @ cosines.T
    found = perceptual_hash(image)
    np.testing.assert_array_equal(found.bits, np.packbits(values > np.median(values)))
    colors = small.resize((8, 8), Image.Resampling.BOX, box)
    np.testing.assert_array_equal(found.colors, np.asarray(colors).reshape(-1))


def hash_of_the_whole(image: Image.Image) -> PerceptualHash:
    """As indexes have it until 2026-12-01."""
    tiny = image.resize((8, 8), Image.Resampling.BOX, reducing_gap=3.0)
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    cosines = np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)
    values = cosines @ grey @ cosines.T
    return PerceptualHash(np.packbits(values > np.median(values)), np.asarray(tiny).reshape(-1))


def test_a_photo_indexed_before_is_the_same_image():
    """Also where its copy has another size, which is averaged by another factor."""
    for seed in range(20):
        for size in ((360, 280), (180, 140), (250, 190), (511, 400)):
            image = scene(seed).resize(size)
            hashes = [hash_of_the_whole(scene(seed)), perceptual_hash(image)]
            different = np.unpackbits(hashes[0].bits ^ hashes[1].bits).sum()
            assert different <= 4
            np.testing.assert_array_equal(same_image_pairs(hashes), [[0, 1]])


COPIES = {
    "half the size": lambda image: image.resize((180, 140)),
    "another proportion": lambda image: image.resize((300, 280)),
    "a bad JPEG": lambda image: quality(image, 20),
    "brighter": lambda image: image.point(lambda value: min(255, value * 1.05)),
}
OTHERS = {
    "mirrored": ImageOps.mirror,
    "other colours, same grey": lambda image: image.convert("L").convert("RGB"),
    "inverted": ImageOps.invert,
    "turned": lambda image: image.rotate(90),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_are_the_same_image(change):
    for seed in range(10):
        hashes = [perceptual_hash(scene(seed)), perceptual_hash(change(scene(seed)))]
        np.testing.assert_array_equal(same_image_pairs(hashes), [[0, 1]])


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_images_are_not(change):
    for seed in range(10):
        hashes = [perceptual_hash(scene(seed)), perceptual_hash(change(scene(seed)))]
        assert not len(same_image_pairs(hashes))


def test_of_many_images_the_copies_alone_are_pairs():
    images = [scene(seed) for seed in range(150)]
    hashes = [perceptual_hash(image) for image in images]
    hashes += [perceptual_hash(image.resize((90, 70))) for image in images]
    pairs = same_image_pairs(hashes)
    np.testing.assert_array_equal(pairs, np.stack([np.arange(150), np.arange(150, 300)], axis=1))


def test_images_of_one_colour_are_told_by_it():
    colors = [(250, 10, 10), (249, 11, 10), (10, 10, 250)]
    hashes = [perceptual_hash(Image.new("RGB", (50, 40), color)) for color in colors]
    assert not any(each.bits.any() for each in hashes)
    np.testing.assert_array_equal(same_image_pairs(hashes), [[0, 1]])


def test_text_and_back():
    known = perceptual_hash(scene(1))
    read = PerceptualHash.from_text(known.to_text())
    np.testing.assert_array_equal(read.bits, known.bits)
    np.testing.assert_array_equal(read.colors, known.colors)
    for text in ("", "00", known.to_text()[:-4], "zz" + known.to_text()):
        with pytest.raises(ValueError):
            PerceptualHash.from_text(text)
    assert same_image_pairs([]).shape == (0, 2)
