"""Photos of smooth random colours."""

import os
from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC)


def make_photos(folder: Path, count: int = 12, first: int = 0) -> list[Path]:
    """Photos in two folders, with times of their own."""
    paths = []
    for number in range(first, first + count):
        path = folder / ("beach", "city/night")[number % 2] / f"IMG_{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number).save(path)
        time = 1_600_000_000 + 86_400 * number
        os.utime(path, (time, time))
        paths.append(path)
    return sorted(paths)
