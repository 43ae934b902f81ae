"""Progressive growing: the lowest size first, further ones faded in (arXiv:1710.10196, section 2).

Progress is a number of doublings: 0 is the lowest size alone, 1.25 the lowest and its double, with
a quarter of the size behind them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def progress_at(step: int, steps: int, levels: int) -> float:
    """Progress in a training step.

    Args:
        step: Steps before it.
        steps: Steps of the lowest size alone, of each fade, and of each new size before the next.
        levels: Doublings from the lowest size to the full one.
    """
    stage, position = divmod(max(0, step - steps) / (2 * steps), 1)
    return min(float(levels), stage + min(1.0, 2 * position))


def level_and_fade(progress: float) -> tuple[int, float]:
    """Doublings of the largest size in use, and its share in (0, 1]."""
    level = math.ceil(progress)
    return level, 1.0 - (level - progress)


def reduced(images: Tensor, progress: float, levels: int, base: int) -> Tensor:
    """Full-size images (B, C, S, S) in [-1, 1] at the size of the progress, faded like its outputs.

    Args:
        images: The images; black is added where S is less than `base` times a power of 2.
        progress: The progress.
        levels: Doublings from the lowest size to the full one.
        base: The lowest size.
    """
    level, fade = level_and_fade(progress)
    if level == levels and fade == 1:
        return images
    size = images.shape[-1]
    padding = base * 2**levels - size
    images = F.pad(images, (0, padding, 0, padding), value=-1.0)
    images = F.avg_pool2d(images, 2 ** (levels - level))
    if fade == 1:
        return images
    coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
    # At the full size the margin is cut off, as it is from generated images.
    return torch.lerp(coarse, images, fade)[..., :size, :size]
