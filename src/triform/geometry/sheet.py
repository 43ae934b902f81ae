"""Contact sheets: many small pictures with labels on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from triform.geometry.mesh import MeshError

PAPER, INK = (255, 255, 255), (60, 60, 60)
MARGIN = 8


def contact_sheet(
    pictures: Sequence[UInt8[np.ndarray, "_ _ _"]],
    labels: Sequence[str] | None = None,
    columns: int = 5,
) -> Image.Image:
    """Lay pictures out in rows, each with its label below.

    Args:
        pictures: one or more (H, W, 3) or (H, W, 4), of any sizes.
        labels: one per picture; broken at spaces into two lines at most and then cut.
        columns: pictures per row.

    Raises:
        MeshError: no pictures, or another number of labels.
    """
    labels = [""] * len(pictures) if labels is None else labels
    if len(pictures) == 0 or len(labels) != len(pictures) or columns < 1:
        raise MeshError(
            f"contact sheet: {len(pictures)} pictures, {len(labels)} labels and {columns} columns; "
            "it needs at least one of each, and a label for every picture"
        )
    width = max(picture.shape[1] for picture in pictures)
    height = max(picture.shape[0] for picture in pictures)
    font = _font(max(10, width // 16))
    lines = [_wrap(label, font, width) for label in labels]
    line_height = font.getbbox("Ag")[3] + 2
    text_height = round(max(map(len, lines)) * line_height)

    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    cell = (width + MARGIN, height + text_height + MARGIN)
    sheet = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        x = MARGIN + index % columns * cell[0]
        y = MARGIN + index // columns * cell[1]
        tile = Image.fromarray(picture)
        at = (x + (width - tile.width) // 2, y + (height - tile.height) // 2)
        sheet.paste(tile, at, tile if tile.mode == "RGBA" else None)
        for number, line in enumerate(lines[index]):
            pen.text(
                (x + width / 2, y + height + number * line_height),
                line, fill=INK, font=font, anchor="ma",
            )  # fmt: skip
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The typeface that comes with matplotlib: Pillow's own knows Latin letters only."""
    import matplotlib  # half a second, for its folder's name: only when a picture is drawn

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a label into at most two lines that fit a width."""
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
