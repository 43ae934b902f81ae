"""Training images: seeded, in range, and each change does what its name says."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy.fft import dctn

from triform.systems.retrieval import augment
from triform.systems.retrieval.augment import (
    _dct_matrix,
    augment_images,
    blur,
    compress,
    random_backgrounds,
)
from triform.systems.retrieval.model import composite_on_white, premultiplied


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def disc(count=6, size=48, radius=0.6):
    """A red disc off the middle on transparency."""
    at = (torch.arange(size) + 0.5) * 2 / size - 1
    inside = (at - 0.2) ** 2 + at[:, None] ** 2 < radius**2
    image = torch.zeros(4, size, size, dtype=torch.uint8)
    image[0], image[3] = 200, 255 * inside
    return image.expand(count, -1, -1, -1)


def test_plain_images_lie_on_white():
    rgba = torch.zeros(1, 4, 1, 3, dtype=torch.uint8)
    rgba[0, :, 0, 1] = torch.tensor([255, 0, 0, 255])
    rgba[0, :, 0, 2] = torch.tensor([0, 0, 0, 51])
    expected = torch.tensor([[1, 1, 0.8], [1, 0, 0.8], [1, 0, 0.8]])
    torch.testing.assert_close(composite_on_white(rgba)[0, :, 0], expected)


@pytest.mark.parametrize("size", [16, 33, 64])
def test_same_generator_same_images_in_range(size):
    first = augment_images(disc(40, size), generator(3))
    assert first.shape == (40, 3, size, size) and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, augment_images(disc(40, size), generator(3)))
    assert not torch.equal(first, augment_images(disc(40, size), generator(4)))


@pytest.mark.parametrize("rgba", [torch.zeros(8, 4, 32, 32), 255 * torch.ones(8, 4, 32, 32)])
def test_images_of_nothing_and_full_images_stay_finite(rgba):
    assert torch.isfinite(augment_images(rgba.to(torch.uint8), generator())).all()


def test_strength_zero_only_moves_and_relights():
    light = augment_images(disc(64), generator(), strength=0.0)
    assert (light[:, :, 0, 0] == 1).all()  # white corners: no pattern, no colour, no noise


def test_reframing_fills_the_image_after_a_roll():
    images = premultiplied(disc(4, 64, radius=0.4))
    none = torch.zeros(4)
    out = augment._reframe(
        images, torch.tensor([0, 0.3, -0.6, 1.5]), none + 1, torch.zeros(4, 2), torch.ones(4, 2)
    )
    actual = out[:, 3] > 0.5
    for mask in actual:  # a disc stays one, whichever way it is rolled
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        for found in (rows, columns):
            assert found[0] <= 6 and found[-1] >= 57
            assert abs(int(found[0]) - (63 - int(found[-1]))) <= 3


def test_roll_turns_by_its_angle():
    bar = torch.zeros(1, 4, 64, 64)
    bar[:, :, 30:34, 4:60] = 1
    out = augment._reframe(
        bar, torch.tensor([np.pi / 4]).float(), torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2)
    )[0, 3]
    y, x = (out > 0.5).nonzero().float().T
    slope = torch.atan2((x * y).mean() - x.mean() * y.mean(), x.var(correction=0))
    assert abs(abs(float(slope)) - np.pi / 4) < 0.05


def test_cut_takes_a_part_off_one_side():
    images = premultiplied(disc(200, 48))
    before = float((images[0, 3] > 0.5).sum())
    after = (augment._crop_side(images, torch.ones(200).bool(), generator())[:, 3] > 0.5).sum(
        (1, 2)
    )
    left = after / before
    assert left.min() > 0.5 and left.max() < 0.97
    untouched = augment._crop_side(images, torch.zeros(200).bool(), generator())
    assert torch.equal(untouched, images)


def test_blur_is_pillows():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    ours = blur(torch.from_numpy(image)[None, None] / 255, torch.tensor([1.5]))[0, 0] * 255
    theirs = np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5)))
    inner = slice(8, -8)  # Pillow repeats the edge, and takes boxes for the bell
    assert np.abs(ours.numpy()[inner, inner] - theirs[inner, inner]).mean() < 2


def test_cosine_transform_is_scipys():
    block = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    table = _dct_matrix().numpy()
    np.testing.assert_allclose(table @ block @ table.T, dctn(block, norm="ortho"), atol=1e-5)


def test_compression_loses_about_what_jpeg_loses():
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).resize((64, 64), 3)
    original = np.array(smooth)
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=50)
    theirs = np.abs(np.array(Image.open(file)).astype(float) - original).mean()
    ours = compress(torch.from_numpy(original)[None, None] / 255, torch.ones(1))[0, 0] * 255
    error = float((ours - torch.from_numpy(original)).abs().mean())
    assert 0.8 < error / theirs < 1.25


def test_compression_of_sizes_that_are_no_multiple_of_eight():
    flat = torch.full((2, 3, 13, 21), 0.5)
    torch.testing.assert_close(compress(flat, torch.ones(2)), flat)


def test_backgrounds_differ_and_are_seeded():
    first = random_backgrounds(24, 32, generator())
    assert first.shape == (24, 3, 32, 32) and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, random_backgrounds(24, 32, generator()))
    assert len({tuple(np.round(p.mean((1, 2)).tolist(), 5)) for p in first}) == 24
    assert random_backgrounds(0, 32, generator()).shape == (0, 3, 32, 32)
