"""Contact sheets: many small images with labels in one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from triform.base.errors import UserError
from triform.images.grid import save_png

BACKGROUND, TEXT_COLOR = (255, 255, 255), (60, 60, 60)
MARGIN = 8


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ _"]],
    labels: Sequence[str] | None = None,
    columns: int = 5,
) -> Image.Image:
    """Arrange images in rows, each with its label below.

    Args:
        images: one or more (H, W, 3) or (H, W, 4), of any sizes.
        labels: one per image; wrapped to two lines at most and then cut.
        columns: images per row.

    Raises:
        UserError: no images, or another number of labels.
    """
    labels = [""] * len(images) if labels is None else labels
    if len(images) == 0 or len(labels) != len(images) or columns < 1:
        raise UserError(
            f"contact sheet: {len(images)} images, {len(labels)} labels and {columns} columns; "
            "it needs at least one of each, and a label for every image"
        )
    width = max(image.shape[1] for image in images)
    height = max(image.shape[0] for image in images)
    font = _font(max(10, width // 16))
    lines = [_wrap(label, font, width) for label in labels]
    line_height = font.getbbox("Ag")[3] + 2
    text_height = round(max(map(len, lines)) * line_height)

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell = (width + MARGIN, height + text_height + MARGIN)
    sheet = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        x = MARGIN + index % columns * cell[0]
        y = MARGIN + index // columns * cell[1]
        tile = Image.fromarray(image)
        position = (x + (width - tile.width) // 2, y + (height - tile.height) // 2)
        sheet.paste(tile, position, tile if tile.mode == "RGBA" else None)
        for row, line in enumerate(lines[index]):
            position = (x + width / 2, y + height + row * line_height)
            draw.text(position, line, fill=TEXT_COLOR, font=font, anchor="ma")
    return sheet


def save_contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ _"]],
    labels: Sequence[str] | None,
    path: Path,
    *,
    columns: int,
) -> None:
    """Write a contact sheet as PNG, whole or not at all; see `contact_sheet`."""
    save_png(contact_sheet(images, labels, columns), path)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib; Pillow's own font has Latin letters only."""
    import matplotlib  # takes half a second, needed only here

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Wrap a label into at most two lines of a width."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    if len(lines) > 2:
        lines = [lines[0], lines[1] + " …"]
    return [_cut(line, font, width) for line in lines if line]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    while font.getlength(line) > width and len(line) > 1:
        line = line.removesuffix("…").rstrip()[:-1] + "…"
    return line
