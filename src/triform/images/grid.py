"""Grids of small images, and folders of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UsageError
from triform.base.files import atomic_write

GAP = 2
BACKGROUND = 255


def image_grid(images: np.ndarray, columns: int = 0, zoom: int = 1) -> Image.Image:
    """Arrange images row by row.

    Args:
        images: (N, C, H, W) uint8 with 1 or 3 channels.
        columns: Images per row; 0 makes the grid about square.
        zoom: Integer factor of enlargement.
    """
    count, channels, height, width = images.shape
    columns = min(count, columns or max(1, round(count**0.5)))
    rows = -(-count // columns)
    cell_height, cell_width = height + GAP, width + GAP
    grid = np.full(
        (channels, rows * cell_height + GAP, columns * cell_width + GAP), BACKGROUND, np.uint8
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = GAP + row * cell_height, GAP + column * cell_width
        grid[:, top : top + height, left : left + width] = image
    return to_pil(grid.repeat(zoom, 1).repeat(zoom, 2))


def save_images(images: np.ndarray, output: Path, columns: int = 0) -> list[Path]:
    """Save images (N, C, H, W) uint8: as one grid `output.png`, or as `output/00000.png`...

    Returns:
        The files that were written.
    """
    if output.suffix.lower() == ".png":
        zoom = max(1, 64 // images.shape[3])
        save_png(image_grid(images, columns, zoom), output)
        return [output]
    digits = max(5, len(str(len(images) - 1)))
    paths = [output / f"{index:0{digits}d}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        save_png(to_pil(image), path)
    return paths


def save_row_groups(rows: Sequence[np.ndarray], output: Path, columns: int) -> None:
    """Save one PNG: a row of the first array above a row of the second, ..., then their next rows.

    Args:
        rows: Arrays (N, C, H, W) uint8 of one shape, whose images belong together by index.
        output: The PNG.
        columns: Images per row, at most N.
    """
    cells = []
    for start in range(0, len(rows[0]), columns):
        for images in rows:
            row = images[start : start + columns]
            cells += [row, np.full((columns - len(row), *row.shape[1:]), BACKGROUND, np.uint8)]
    save_images(np.concatenate(cells), output, columns)


def check_png(output: Path) -> None:
    """Refuse an output that is not a PNG.

    Raises:
        UsageError: It has another suffix.
    """
    if output.suffix.lower() != ".png":
        raise UsageError(f"output: {output} must be a .png")


def save_png(image: Image.Image, path: Path) -> None:
    """Save an image as PNG, atomically."""
    with atomic_write(path) as stream:
        image.save(stream, "PNG")


def to_pil(image: np.ndarray) -> Image.Image:
    """Grey or RGB image of (C, H, W) uint8."""
    grey = image.shape[0] == 1
    return Image.fromarray(image[0] if grey else np.ascontiguousarray(image.transpose(1, 2, 0)))
