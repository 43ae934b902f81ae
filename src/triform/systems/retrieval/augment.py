"""Augmentation of images with transparency, and compositing on white without it.

The augmentations are the ways in which a user's images differ from rendered views: a part of the
object is cropped, the camera is rolled, the crop is loose, light and background differ, and the
image is blurred, compressed, grey or noisy. They run on the whole batch at once.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from triform.systems.retrieval.model import premultiplied

# Probability of each augmentation.
CROPPED, ROLLED, PATTERNED, COLORED = 0.25, 0.4, 0.4, 0.3
BLURRED, COMPRESSED, GREY, NOISY = 0.2, 0.2, 0.2, 0.2
# Largest share that is cropped, and largest roll in radians.
CROP, ROLL = 0.42, 0.75
_MARGIN = 1.04
# Side of the coarse alpha mask from which the object's outline is computed.
_COARSE = 24
_MIN_ALPHA = 0.03


def augment_images(rgba: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Augment framed images for training.

    Args:
        rgba: (N, 4, S, S) uint8, straight alpha.
        generator: Source of random numbers.
        strength: Factor of the probabilities of crop, roll, pattern and degradation.

    Returns:
        (N, 3, S, S) float32 in [0, 1].
    """
    count, size = len(rgba), rgba.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    def sample(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability * strength

    images = _crop_side(premultiplied(rgba), sample(CROPPED), generator)
    patterned = sample(PATTERNED)
    # On a pattern the outline of the object cannot be found: the crop is loose.
    loose = torch.where(patterned, 2.0, 1.0)
    roll = torch.where(sample(ROLLED), uniform(-ROLL, ROLL), uniform(-0.06, 0.06))
    zoom = torch.where(patterned, uniform(-0.12, 0.3), uniform(-0.06, 0.1)).exp() * _MARGIN
    shift = uniform(-0.06, 0.06, 2) * loose[:, None]
    stretch = uniform(-0.05, 0.05, 2).exp()
    images = _reframe(images, roll, zoom, shift, stretch)
    color, alpha = images[:, :3], images[:, 3:]
    color = _relight((color / alpha.clamp(min=1e-3)).clamp(0, 1), generator)

    background = torch.ones(count, 3, size, size)
    colored = sample(COLORED) & ~patterned
    plain = torch.rand(count, 3, 1, 1, generator=generator).expand_as(background)
    background[colored] = plain[colored]
    background[patterned] = random_backgrounds(int(patterned.sum()), size, generator)
    result = color * alpha + background * (1 - alpha)

    selected = sample(BLURRED)
    result[selected] = blur(result[selected], uniform(0.4, 1.8)[selected] * size / 64)
    selected = sample(COMPRESSED)
    result[selected] = compress(result[selected], uniform(-1.2, 1.0)[selected].exp())
    selected = sample(GREY)
    result[selected] = result[selected].mean(1, keepdim=True)
    selected = sample(NOISY)
    noise = torch.randn(int(selected.sum()), 3, size, size, generator=generator)
    result[selected] = result[selected] + 0.04 * noise
    return result.clamp(0, 1)


def _crop_side(images: Tensor, selected: Tensor, generator: torch.Generator) -> Tensor:
    """Make one side of the object transparent, as if the image ended there."""
    count, size = len(images), images.shape[-1]
    side = torch.randint(0, 4, (count,), generator=generator)
    part = 0.1 + (CROP - 0.1) * torch.rand(count, generator=generator)
    part = torch.where(selected, part, 0.0)
    visible = images[:, 3] > _MIN_ALPHA
    position = torch.arange(size)
    masks = []
    for axis, (first, second) in enumerate([(0, 1), (2, 3)]):  # columns, then rows
        occupied = visible.any(1 + axis)
        start = torch.where(occupied, position, size).amin(1)
        end = torch.where(occupied, position, -1).amax(1) + 1
        length = (end - start) * part
        start = start + torch.where(side == first, length, 0)
        end = end - torch.where(side == second, length, 0)
        masks.append((position >= start[:, None]) & (position < end[:, None]))
    columns, rows = masks
    return images * (columns[:, None, None, :] & rows[:, None, :, None])


def _reframe(images: Tensor, roll: Tensor, zoom: Tensor, shift: Tensor, stretch: Tensor) -> Tensor:
    """Roll images and crop them to their object again.

    Args:
        images: (N, 4, S, S), colours multiplied by alpha.
        roll: (N,) radians.
        zoom: (N,) side of the crop over that of the object.
        shift: (N, 2) of the crop, in halves of its side.
        stretch: (N, 2) of the crop.
    """
    count, size = len(images), images.shape[-1]
    outline = F.adaptive_max_pool2d(images[:, 3:], _COARSE).flatten(1)[..., None] > _MIN_ALPHA
    points = _grid(_COARSE).flatten(0, 1)
    rotation = torch.stack([roll.cos(), -roll.sin(), roll.sin(), roll.cos()], 1).view(count, 2, 2)
    rotated = points @ rotation.transpose(1, 2)
    low = torch.where(outline, rotated, math.inf).amin(1) - 1 / _COARSE
    high = torch.where(outline, rotated, -math.inf).amax(1) + 1 / _COARSE
    empty = ~outline.any(1)  # (N, 1): no object to crop to
    low, high = torch.where(empty, -1.0, low), torch.where(empty, 1.0, high)
    half = ((high - low) / 2).amax(1) * zoom
    grid = _grid(size) * stretch[:, None, None] + shift[:, None, None]
    grid = grid * half[:, None, None, None] + ((low + high) / 2)[:, None, None]
    grid = (grid.flatten(1, 2) @ rotation).view(count, size, size, 2)
    return F.grid_sample(images, grid, align_corners=False)


def _grid(size: int) -> Tensor:
    """Centres of pixels (size, size, 2) as x, y in [-1, 1]."""
    centers = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    return torch.stack([x, y], -1)


def _relight(colors: Tensor, generator: torch.Generator) -> Tensor:
    """Change exposure, white balance and contrast, and add a gradient of light."""
    count, size = len(colors), colors.shape[-1]

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

    gain = uniform(-0.35, 0.65) + 0.06 * normal(3, 1, 1)
    slope = 0.12 * normal(2, 1, 1)
    position = torch.linspace(-1, 1, size)
    gain = gain + slope[:, :1] * position + slope[:, 1:] * position[:, None]
    return (colors * gain.exp()).clamp(1e-3, 1) ** uniform(-0.35, 0.25).exp()


_CHECKS, _STRIPES, _DOTS, _GRADIENT, _KINDS = 0, 1, 2, 3, 6  # the other two are noise


def random_backgrounds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) float32 in [0, 1], of random kind, colours, angle and period."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    position = torch.linspace(-1, 1, size)
    colors = torch.rand(count, 2, 3, 1, 1, generator=generator)
    angle, period = uniform(0, math.pi), uniform(math.log(0.1), math.log(0.7)).exp()
    u = position * angle.cos() + position[:, None] * angle.sin() + uniform(-1, 1)
    v = position[:, None] * angle.cos() - position * angle.sin() + uniform(-1, 1)
    column, row = torch.floor(u / period), torch.floor(v / period)
    distance = (u / period - column - 0.5) ** 2 + (v / period - row - 0.5) ** 2
    kind = torch.randint(0, _KINDS, (count, 1, 1), generator=generator)
    blend = torch.zeros(count, size, size)
    for index, mask in (
        (_CHECKS, torch.remainder(column + row, 2)),
        (_STRIPES, torch.remainder(column, 2)),
        (_DOTS, (distance < 0.09).float()),
        (_GRADIENT, (u + 2.4) / 4.8),
    ):
        blend = torch.where(kind == index, mask, blend)
    images = torch.lerp(colors[:, 0], colors[:, 1], blend[:, None])
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    fine = torch.randn(count, 3, 16, 16, generator=generator)
    noise = 0.35 * F.interpolate(coarse, size=size, mode="bilinear")
    noise = noise + 0.15 * F.interpolate(fine, size=size, mode="bilinear")
    return (images + torch.where((kind > _GRADIENT)[:, None], noise, 0.0)).clamp(0, 1)


# Luminance quantisation table of JPEG (ITU-T T.81, table K.1), in 255ths, at quality 50.
_QUANTIZATION = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of images (N, C, S, S) with sigma (N,) in pixels."""
    position = torch.arange(images.shape[-1], dtype=images.dtype)
    distance = position[:, None] - position
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None, None] ** 2))
    # Normalised, so that pixels outside the image have no weight.
    kernel = (kernel / kernel.sum(2, keepdim=True))[:, None]
    return kernel @ images @ kernel.transpose(2, 3)


def compress(images: Tensor, strength: Tensor) -> Tensor:
    """Quantise as JPEG does, each channel by itself.

    Args:
        images: (N, C, S, S) in [0, 1].
        strength: (N,) factor of the quantisation table; 1 is quality 50, 2.5 is quality 20.
    """
    count, channels, height, width = images.shape
    bottom, right = -height % 8, -width % 8
    padded = torch.nn.functional.pad(images, (0, right, 0, bottom), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.view(count, channels, rows, 8, columns, 8).transpose(3, 4) - 0.5
    dct = _dct_matrix()
    steps = torch.tensor(_QUANTIZATION) / 255 * strength.view(-1, 1, 1, 1, 1, 1)
    coefficients = torch.round(dct @ blocks @ dct.T / steps) * steps
    blocks = (dct.T @ coefficients @ dct + 0.5).transpose(3, 4)
    return blocks.reshape(padded.shape)[..., :height, :width]


def _dct_matrix() -> Tensor:
    """The orthonormal discrete cosine transform of eight numbers, (8, 8)."""
    n = torch.arange(8.0)
    table = torch.cos((2 * n + 1) * n[:, None] * math.pi / 16) / 2
    table[0] /= math.sqrt(2)
    return table
