"""What is kept of the result of a verb: plain data, facts of meshes, small images.

Runs in the worker.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.settings.command import CommandResult, plain, without_paths
from triform.base.settings.config import Settings
from triform.geometry.mesh import Mesh, weld
from triform.geometry.render.views import render
from triform.geometry.voxels.surface import is_watertight, split_components
from triform.images.raw import RAW_SUFFIXES, read_raw
from triform.images.read import on_background, read_image
from triform.images.video import read_frame
from triform.search.gallery import exists, open_gallery
from triform.web.record import KINDS

THUMBNAIL = 192
PRINT_SIZE_MM = 100.0
TILE_KINDS = ("points", "image")
"""Kinds of vectors of a gallery whose records hold the small image of what is found."""


def describe_outcome(result: Any, settings: Settings, folder: Path) -> dict[str, Any]:
    """Describe the result of a verb, and draw its thumbnail into the folder of the job.

    Args:
        result: What the verb returned.
        settings: Its settings.
        folder: Folder of the result; the verb wrote into `files` in it.

    Returns:
        `answer`: plain data; a row with a mesh has its measures as `shape`. Paths in it are below
        `files`, or only names: where something lies on the server is nobody's business.
    """
    if isinstance(result, CommandResult):
        result = result.data
    answer = without_paths(plain(result), folder / "files")
    if isinstance(result, list) and all(isinstance(row, Mapping) for row in result):
        for row, source in zip(answer, result, strict=True):
            if isinstance(source.get("mesh"), Mesh):
                row["shape"] = measure(source["mesh"], float(getattr(settings, "size_mm", 0) or 0))
    if isinstance(answer, list):
        add_tiles(answer, getattr(settings, "index", None), folder / "files")
        add_photo_tiles(answer, result, folder / "files")
    _save_thumbnail(result, folder)
    return {"answer": answer}


def measure(mesh: Mesh, size_mm: float) -> dict[str, Any]:
    """Measures of a mesh whose longest side is `size_mm` long; 0 means 100.

    Returns:
        `size_mm` along x, y, z; `volume_cm3`, None for an open mesh; `watertight`, `parts`,
        `faces`.
    """
    low, high = mesh.bounds
    extents = high - low
    scale = (size_mm or PRINT_SIZE_MM) / max(float(extents.max()), 1e-12)
    watertight = is_watertight(mesh)
    return {
        "size_mm": [round(float(side) * scale, 1) for side in extents],
        "volume_cm3": round(abs(mesh.volume) * scale**3 / 1000, 2) if watertight else None,
        "watertight": watertight,
        "parts": len(split_components(weld(mesh)).volumes),
        "faces": len(mesh.faces),
    }


def add_tiles(rows: list[dict[str, Any]], index: str | None, files: Path) -> None:
    """Save the small images of what a search has found; a row names its own as `tile`.

    Args:
        rows: Rows of the answer; hits have `id` and `similarity`.
        index: The gallery that was searched.
        files: Folder of the files of the result.
    """
    hits = [row for row in rows if isinstance(row, dict) and {"id", "similarity"} <= row.keys()]
    if not hits or not index or not exists(index):
        return
    gallery = open_gallery(index)
    try:
        names = list(dict.fromkeys(str(row["id"]) for row in hits))
        found = gallery.get([f"{name}#{kind}0" for name in names for kind in TILE_KINDS])
    finally:
        gallery.close()
    saved: dict[str, str] = {}
    for name in names:
        records = [found.get(f"{name}#{kind}0", {}) for kind in TILE_KINDS]
        record = next((each for each in records if isinstance(each.get("tile"), str)), None)
        if record is None:
            continue
        try:
            content = base64.b64decode(str(record["tile"]), validate=True)
            image = read_image(content, "tile", kinds=("WEBP",))
        except (UserError, ValueError):
            continue
        saved[name] = f"hits/{len(saved) + 1:04d}.webp"
        with atomic_write(files / saved[name]) as file:
            image.convert("RGB").save(file, "WEBP", quality=90)
    for row in hits:
        if str(row["id"]) in saved:
            row["tile"] = saved[str(row["id"])]


def add_photo_tiles(
    rows: list[dict[str, Any]], source: list[Mapping[str, Any]], files: Path
) -> None:
    """Save small images of the photos that a search has found; a row names its own as `tile`.

    Args:
        rows: Rows of the answer.
        source: The same rows with whole paths: `file`, and `second` of a frame of a video.
        files: Folder of the files of the result.
    """
    for index, (row, hit) in enumerate(zip(rows, source, strict=True), start=1):
        if not isinstance(hit, Mapping) or not {"file", "similarity"} <= hit.keys():
            continue
        image = _read_photo(str(hit["file"]), hit.get("second"))
        if image is None:
            continue
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        row["tile"] = f"hits/{index:04d}.webp"
        with atomic_write(files / row["tile"]) as file:
            image.convert("RGB").save(file, "WEBP", quality=85)


def _read_photo(path: str, second: float | None) -> Image.Image | None:
    """An image, a RAW file or a frame of a video; None where it cannot be read."""
    try:
        if second is not None:
            return read_frame(path, second, longest=2 * THUMBNAIL)
        if path.lower().endswith(RAW_SUFFIXES):
            return read_raw(path, longest=2 * THUMBNAIL).image
        return on_background(read_image(path, longest=2 * THUMBNAIL))
    except UserError:
        return None


def _first_frame(path: Path) -> Image.Image:
    """An image that a verb wrote; of an animation the first frame, without a warning."""
    if path.suffix.lower() != ".gif":
        return read_image(path, longest=4 * THUMBNAIL)
    with Image.open(path, formats=("GIF",)) as animation:
        first: Image.Image = animation.convert("RGBA")
    return first


def _save_thumbnail(result: Any, folder: Path) -> None:
    """Draw the first mesh of a result, or else the first image that it wrote."""
    image: Image.Image | None = None
    rows = result if isinstance(result, list) else []
    meshes = [row["mesh"] for row in rows if isinstance(row, Mapping) and row.get("mesh")]
    if meshes and isinstance(meshes[0], Mesh):
        image = Image.fromarray(np.asarray(render(meshes[0], THUMBNAIL)))
    else:
        paths = sorted((folder / "files").rglob("*"))
        images = [path for path in paths if KINDS.get(path.suffix.lower()) == "image"]
        if images:
            try:
                image = _first_frame(images[0])
            except UserError:
                return  # a picture that only a browser can read has no small one
    if image is not None:
        small = on_background(image)
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        with atomic_write(folder / "thumbnail.webp") as file:
            small.convert("RGB").save(file, "WEBP", quality=80)
