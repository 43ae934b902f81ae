"""Lists the entries of a gallery: meshes, objects of libraries, or images; and their tiles."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.folder_listing import has_files, list_files
from triform.datasets.library.decoding import as_rows, read_array
from triform.datasets.library.default_view import default_view
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.shapes import is_library
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.datasets.shape import LIBRARY_SUFFIX, MESH_SUFFIXES, Shape
from triform.geometry.io.up_axis import Up
from triform.geometry.mesh import Mesh
from triform.geometry.render.views import render
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, on_background, read_image

TILE = 128
"""Pixels along each side of the small image in a record."""


@dataclass(frozen=True)
class Content:
    """What the encoders see of an entry or a query.

    Attributes:
        mesh: Its surface; None where there are points, an image or a text instead.
        points: Points (P, 3) and their colours (P, 3) uint8 or None.
        images: Images of it, of any size; empty where they are to be rendered.
        tile: Small image of it for contact sheets, RGB.
    """

    tile: Image.Image
    mesh: Mesh | None = None
    points: tuple[np.ndarray, np.ndarray | None] | None = None
    images: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class GalleryEntry:
    """A mesh, an object of a library or an image that can be found.

    Attributes:
        id: Unique in the gallery.
        source: The folder, library or data set that it is from.
        fingerprint: Changes when its files do.
        metadata: Path, category and caption, for the results.
        words: Its name, the folders of its path, category and captions of all languages, a line
            each; what it is found by in words.
        read: Reads its content; raises a UserError where it cannot be read.
    """

    id: str
    source: str
    fingerprint: str
    metadata: dict[str, str]
    words: str
    read: Callable[[], Content] = field(compare=False)


def list_entries(sources: Iterable[str], download_path: str, up: Up = "auto") -> list[GalleryEntry]:
    """List the entries of folders, libraries and data sets, in the order of the sources.

    Args:
        sources: Folders, libraries, names of data sets.
        download_path: Download folder.
        up: Upright axis of mesh files.

    Raises:
        UserError: A source is not there, or has nothing in it.
    """
    entries: dict[str, GalleryEntry] = {}
    for source in sources:
        for entry in _entries_of(source, download_path, up):
            if entry.id in entries:
                raise UserError(
                    f"--gallery {source}: {entry.id} is in another part of the gallery already; "
                    "rename one of the two"
                )
            entries[entry.id] = entry
    return list(entries.values())


def _entries_of(source: str, download_path: str, up: Up) -> list[GalleryEntry]:
    folder = Path(source)
    if "://" in source or (folder.is_dir() and is_library(folder)):
        library = Library.open(source)
        if not library.objects:
            raise UserError(f"--gallery {source}: a library without objects")
        versions = library.store.fingerprints(
            "points"
        )  # once: it lists a folder of thousands of files
        return [_library_entry(library, entry, versions, source) for entry in library.objects]
    if folder.is_dir() and not has_files(folder, (*MESH_SUFFIXES, LIBRARY_SUFFIX)):
        images = list_files(folder, IMAGE_SUFFIXES)
        if images:
            return [_image_entry(folder, path, source) for path in images]
    shapes = list_shapes(load_dataset(source, download_path), up=up)
    return [_mesh_entry(shape, source) for shape in shapes]


def _mesh_entry(shape: Shape, source: str) -> GalleryEntry:
    def read() -> Content:
        mesh = shape.load(appearance=True)
        return Content(tile=mesh_tile(mesh), mesh=mesh)

    metadata = _metadata(shape.location, shape.category, shape.english)
    words = _words(shape.location, source, shape.object_id, shape.category, shape.captions)
    return GalleryEntry(shape.object_id, source, shape.fingerprint, metadata, words, read)


def _library_entry(
    library: Library, entry: LibraryObject, versions: Mapping[str, str], source: str
) -> GalleryEntry:
    if entry.points is None:
        raise UserError(
            f"{library.root}: {entry.object_id} has no point values; `triform shapes prepare` "
            "makes them"
        )
    points = entry.points

    def read() -> Content:
        values = np.array(as_rows(read_array(library, points), points))
        colors = None
        if entry.colors is not None:
            colors = np.array(as_rows(read_array(library, entry.colors), entry.colors, "colours"))
            if len(colors) != len(values):
                raise UserError(
                    f"{library.root}: {entry.colors} holds {len(colors)} colours for "
                    f"{len(values)} points"
                )
        if not np.isfinite(values).all():
            raise UserError(f"{library.root}: {points} holds NaN or infinity")
        images = tuple(
            read_image(library.read_bytes(path), f"{library.root}/{path}", longest=HELD_SIDE)
            for path in entry.images
        )
        tile = image_tile(images[default_view(library, entry)]) if images else blank_tile()
        return Content(tile=tile, points=(values, colors), images=images)

    all_captions = library.captions.get(entry.object_id, ())
    captions = [text for text, language in all_captions if language == "en"]
    stamps = (entry.content, entry.sha256, sorted((k, v.key) for k, v in entry.parts.items()))
    version = versions.get(points, "") if not entry.content else ""
    path = entry.source_file or f"{library.root}/{entry.images[0] if entry.images else points}"
    digest = hashlib.sha256(repr((*stamps, version, entry.files)).encode()).hexdigest()
    metadata = _metadata(path, entry.category, captions)
    texts = [text for text, _ in all_captions]
    # The path of a file that the library was made from says more than those of its arrays.
    words = _words(entry.source_file or "", source, entry.object_id, entry.category, texts)
    return GalleryEntry(entry.object_id, source, digest, metadata, words, read)


def _image_entry(folder: Path, path: Path, source: str) -> GalleryEntry:
    stat = path.stat()

    def read() -> Content:
        image = read_image(path, longest=HELD_SIDE)
        return Content(tile=image_tile(image), images=(image,))

    digest = f"{stat.st_size} {stat.st_mtime_ns}"
    name = path.relative_to(folder).as_posix()
    words = _words(str(path), source, name, "", ())
    return GalleryEntry(name, source, digest, _metadata(str(path), "", ()), words, read)


def _metadata(path: str, category: str, captions: Iterable[str]) -> dict[str, str]:
    return {"path": path, "category": category, "caption": next(iter(captions), "")}


def _words(path: str, source: str, name: str, category: str, captions: Iterable[str]) -> str:
    """What an entry is found by in words, a line each.

    Args:
        path: Its file; the part below the source counts, without the suffix.
        source: The folder or library that it is from.
        name: Its id, which counts where the file is not below the source.
        category: Its category.
        captions: Captions of all languages.
    """
    file = Path(path)
    if path and file.is_relative_to(source):
        name = file.relative_to(source).as_posix()
    suffix = Path(name).suffix.lower()
    if suffix in (*MESH_SUFFIXES, *IMAGE_SUFFIXES):
        name = name[: -len(suffix)]
    return "\n".join(dict.fromkeys([name, category, *captions]))


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
