"""What a gallery is made of: meshes, objects of shape libraries, or pictures."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.library.decoding import as_rows, read_array
from triform.datasets.library.layout import Library, LibraryObject
from triform.datasets.library.portrait import portrait_view
from triform.datasets.library.shapes import is_library
from triform.datasets.load import load_dataset
from triform.datasets.shape import LIBRARY_SUFFIX, MESH_SUFFIXES, MeshFile, Shape, list_shapes
from triform.geometry.mesh import Mesh
from triform.geometry.render import render
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, on_background, read_image

TILE = 128


@dataclass(frozen=True)
class Content:
    """What one item shows to the encoders.

    Attributes:
        mesh: Its surface; None where there are points or a picture instead.
        points: Points (P, 3) and their colours (P, 3) uint8 or None.
        pictures: Pictures of it, of any size; empty where they are to be rendered.
        tile: Small picture of it for contact sheets, RGB.
    """

    tile: Image.Image
    mesh: Mesh | None = None
    points: tuple[np.ndarray, np.ndarray | None] | None = None
    pictures: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Item:
    """One thing that can be found.

    Attributes:
        id: Unique in the gallery.
        fingerprint: Changes when the thing does.
        facts: What is said of it beside an answer: path, category, caption.
        read: Gives its content; raises a UserError where it cannot be read.
    """

    id: str
    fingerprint: str
    facts: dict[str, str]
    read: Callable[[], Content] = field(compare=False)


def list_items(sources: Iterable[str], download_path: str) -> list[Item]:
    """The items of folders, libraries and data sets, sorted as they are listed.

    Raises:
        UserError: A source is not there, or has nothing in it.
    """
    items: dict[str, Item] = {}
    for source in sources:
        for item in _items_of(source, download_path):
            if item.id in items:
                raise UserError(
                    f"--gallery {source}: {item.id} is in another part of the gallery already; "
                    "rename one of the two"
                )
            items[item.id] = item
    return list(items.values())


def _items_of(source: str, download_path: str) -> list[Item]:
    folder = Path(source)
    if "://" in source or (folder.is_dir() and is_library(folder)):
        library = Library.open(source)
        if not library.objects:
            raise UserError(f"--gallery {source}: a library without objects")
        facts = library.store.facts("points")  # once: a look at a folder of thousands of files
        return [_from_library(library, entry, facts) for entry in library.objects]
    if folder.is_dir() and (pictures := _only_pictures(folder)):
        return [_from_picture(folder, path) for path in pictures]
    return [_from_shape(shape) for shape in list_shapes(load_dataset(source, download_path))]


def _only_pictures(folder: Path) -> list[Path]:
    """The pictures below a folder that holds no mesh; none where it does."""
    pictures = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if suffix in MESH_SUFFIXES or suffix == LIBRARY_SUFFIX:
                return []
            if suffix in IMAGE_SUFFIXES and not name.startswith("."):
                pictures.append(Path(root, name))
    return pictures


def _from_shape(shape: Shape) -> Item:
    origin: Any = shape.origin
    path = (
        str(origin.path) if isinstance(origin, MeshFile)
        else f"{origin.library}#{origin.object_id}" if hasattr(origin, "library")
        else shape.object_id
    )  # fmt: skip

    def read() -> Content:
        mesh = shape.load(appearance=True)
        return Content(tile=mesh_tile(mesh), mesh=mesh)

    return Item(
        shape.object_id, shape.fingerprint, _facts(path, shape.category, shape.english), read
    )


def _from_library(library: Library, entry: LibraryObject, facts: Mapping[str, str]) -> Item:
    if entry.points is None:
        raise UserError(
            f"{library.root}: {entry.object_id} has no point cloud; `triform shapes prepare` "
            "makes them"
        )
    points = entry.points

    def read() -> Content:
        cloud = np.array(as_rows(read_array(library, points), points))
        colors = None
        if entry.colors is not None:
            colors = np.array(as_rows(read_array(library, entry.colors), entry.colors, "colours"))
            if len(colors) != len(cloud):
                raise UserError(
                    f"{library.root}: {entry.colors} holds {len(colors)} colours for "
                    f"{len(cloud)} points"
                )
        if not np.isfinite(cloud).all():
            raise UserError(f"{library.root}: {points} holds NaN or infinity")
        pictures = tuple(
            read_image(library.read_bytes(path), f"{library.root}/{path}", longest=HELD_SIDE)
            for path in entry.images
        )
        tile = Image.new("RGB", (TILE, TILE), "white")
        if pictures:
            tile = picture_tile(pictures[portrait_view(library, entry)])
        return Content(tile=tile, points=(cloud, colors), pictures=pictures)

    captions = [text for text, language in library.captions.get(entry.object_id, ())
                if language == "en"]  # fmt: skip
    stamps = (entry.content, entry.sha256, sorted((k, v.key) for k, v in entry.parts.items()))
    fact = facts.get(points, "") if not entry.content else ""
    path = f"{library.root}/{entry.images[0] if entry.images else points}"
    digest = hashlib.sha256(repr((*stamps, fact, entry.files)).encode()).hexdigest()
    return Item(entry.object_id, digest, _facts(path, entry.category, captions), read)


def _from_picture(folder: Path, path: Path) -> Item:
    stat = path.stat()

    def read() -> Content:
        picture = read_image(path, longest=HELD_SIDE)
        return Content(tile=picture_tile(picture), pictures=(picture,))

    digest = f"{stat.st_size} {stat.st_mtime_ns}"
    return Item(path.relative_to(folder).as_posix(), digest, _facts(str(path), "", ()), read)


def _facts(path: str, category: str, captions: Iterable[str]) -> dict[str, str]:
    return {"path": path, "category": category, "caption": next(iter(captions), "")}


def mesh_tile(mesh: Mesh) -> Image.Image:
    """A mesh for a contact sheet."""
    return Image.fromarray(np.asarray(render(mesh, TILE, background=(255, 255, 255))))


def picture_tile(picture: Image.Image) -> Image.Image:
    """A picture for a contact sheet: whole, in the middle of a square."""
    small = on_background(picture)
    small.thumbnail((TILE, TILE))
    tile = Image.new("RGB", (TILE, TILE), "white")
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    return tile


def packed_tile(tile: Image.Image) -> str:
    """A tile as text, to be kept in a record."""
    file = io.BytesIO()
    tile.save(file, "WEBP", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def unpacked_tile(text: str) -> Image.Image:
    """The tile that `packed_tile` kept; a white one where it cannot be read."""
    white = Image.new("RGB", (TILE, TILE), "white")
    try:
        # What another program wrote is no tile.
        tile = read_image(base64.b64decode(text, validate=True), "tile", kinds=("WEBP",))
    except (UserError, ValueError):
        return white
    return tile.convert("RGB") if tile.size == white.size else white
