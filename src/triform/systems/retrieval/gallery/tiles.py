"""Small images of gallery entries: drawn, stored in records, laid out on a sheet of results."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.geometry.mesh import Mesh
from triform.geometry.render.views import render
from triform.images.contact_sheet import contact_sheet
from triform.images.read import on_background, read_image
from triform.search.base_gallery import Hit

TILE = 128


def blank_tile() -> Image.Image:
    """A white tile."""
    return Image.new("RGB", (TILE, TILE), "white")


def mesh_tile(mesh: Mesh) -> Image.Image:
    """A rendered view of a mesh."""
    return Image.fromarray(np.asarray(render(mesh, TILE, background=(255, 255, 255))))


def image_tile(image: Image.Image) -> Image.Image:
    """A whole image in the middle of a white square."""
    small = on_background(image)
    small.thumbnail((TILE, TILE))
    tile = blank_tile()
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    return tile


def encode_tile(tile: Image.Image) -> str:
    """A tile as text, for a record."""
    file = io.BytesIO()
    tile.save(file, "WEBP", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def decode_tile(text: str) -> Image.Image:
    """The tile that `encode_tile` wrote; a white one where it cannot be read."""
    white = blank_tile()
    try:
        # Text that another program wrote is refused as an image.
        tile = read_image(base64.b64decode(text, validate=True), "tile", kinds=("WEBP",))
    except (UserError, ValueError):
        return white
    return tile.convert("RGB") if tile.size == white.size else white


def save_sheet(
    path: Path,
    queries: Sequence[tuple[str, Image.Image]],
    results: Sequence[Sequence[Hit]],
    tiles: Mapping[str, str],
) -> None:
    """Draw a row for each query: the query, then its results with their similarities.

    Args:
        path: The PNG.
        queries: Name and tile of each.
        results: Results of each.
        tiles: Encoded tile of each entry that was found.
    """
    columns = max(len(hits) for hits in results) + 1
    images: list[np.ndarray[Any, Any]] = []
    labels: list[str] = []
    for (name, tile), hits in zip(queries, results, strict=True):
        blanks = columns - 1 - len(hits)
        row = [tile, *(decode_tile(tiles.get(hit.id, "")) for hit in hits)]
        images += [np.asarray(one) for one in [*row, *[blank_tile()] * blanks]]
        labels.append(Path(name).name if Path(name).suffix else name)
        labels += [f"{hit.similarity:.3f} {_label(hit)}" for hit in hits]
        labels += [""] * blanks
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        contact_sheet(images, labels, columns).save(file, format="PNG")


def _label(hit: Hit) -> str:
    return str(hit.record.get("caption") or hit.id.rpartition("/")[2])
