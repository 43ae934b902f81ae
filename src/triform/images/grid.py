"""Many small pictures on one sheet, and in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.files import atomic_write

GAP = 2
PAPER = 255


def picture_grid(pictures: np.ndarray, columns: int = 0, zoom: int = 1) -> Image.Image:
    """Lays pictures out row by row.

    Args:
        pictures: (N, C, H, W) uint8 with 1 or 3 channels.
        columns: pictures per row; 0 makes the sheet about square.
        zoom: whole factor that they are enlarged by.
    """
    count, channels, height, width = pictures.shape
    columns = min(count, columns or max(1, round(count**0.5)))
    rows = -(-count // columns)
    high, wide = height + GAP, width + GAP
    sheet = np.full((channels, rows * high + GAP, columns * wide + GAP), PAPER, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = GAP + number // columns * high, GAP + number % columns * wide
        sheet[:, top : top + height, left : left + width] = picture
    return _as_image(sheet.repeat(zoom, 1).repeat(zoom, 2))


def save_pictures(pictures: np.ndarray, output: Path, columns: int = 0) -> list[Path]:
    """Saves pictures (N, C, H, W) uint8: in one sheet `output.png`, or as `output/00000.png`...

    Returns:
        The files that were written.
    """
    if output.suffix.lower() == ".png":
        output.parent.mkdir(parents=True, exist_ok=True)
        zoom = max(1, 64 // pictures.shape[3])
        save_sheet(picture_grid(pictures, columns, zoom), output)
        return [output]
    output.mkdir(parents=True, exist_ok=True)
    digits = max(5, len(str(len(pictures) - 1)))
    paths = [output / f"{number:0{digits}d}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        save_sheet(_as_image(picture), path)
    return paths


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Saves a picture as PNG, whole or not at all."""
    with atomic_write(path) as stream:
        sheet.save(stream, "PNG")


def _as_image(picture: np.ndarray) -> Image.Image:
    """(C, H, W) uint8 to a grey or a colour picture."""
    grey = picture.shape[0] == 1
    return Image.fromarray(picture[0] if grey else np.ascontiguousarray(picture.transpose(1, 2, 0)))
