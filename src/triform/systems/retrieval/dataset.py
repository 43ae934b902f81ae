"""The objects of a shape library as memory-mapped arrays.

Reading an image of 224 pixels and cutting it to its object takes milliseconds, which would be
most of a training step. It is done once; the files are in the cache folder under a name that
changes with the library.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from triform.base.errors import UserError
from triform.base.files import read_regular
from triform.base.logging import get_logger
from triform.datasets.array_cache import cached_array
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.decoding import as_rows, read_array, read_image
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.preparation.known import open_or_prepare
from triform.datasets.split import split_by_id
from triform.geometry.mesh import MeshError
from triform.geometry.render.cameras import Camera
from triform.images.framing import frame
from triform.systems.retrieval.config import DataConfig

logger = get_logger(__name__)

SPLIT_WORDS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
GREY = 102
"""Colour of a point that has none: 0.4 of 255."""
MAX_SPLIT_BYTES = 64_000_000
_VERSION = "1"


@dataclass(frozen=True)
class RetrievalDataset:
    """The objects that a run trains or is evaluated on.

    Attributes:
        ids: Their ids in the library.
        sources: Their ids in the data set that they come from.
        splits: `train`, `val` or `test` of each.
        captions: English captions of each.
        points: (n, P, 3) float32.
        colors: Their colours (n, P, 3) uint8.
        views: Images (n, V, S, S, 4) uint8, cut to the object; or None.
        features: A frozen encoder's features of them (n, V, F) float32; or None.
        directions: From the object to the camera of each (n, V, 3) float32, of length 1; or None.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    splits: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    points: np.ndarray
    colors: np.ndarray
    views: np.ndarray | None = None
    features: np.ndarray | None = None
    directions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_views(self) -> int:
        """Images of each object."""
        images = self.views if self.views is not None else self.features
        assert images is not None
        return int(images.shape[1])

    def rows(self, *splits: str) -> np.ndarray:
        """Indices of the objects of some splits."""
        return np.asarray([n for n, s in enumerate(self.splits) if s in splits], dtype=np.int64)


def read_dataset(
    library: Library,
    *,
    image_size: int,
    split: str = "",
    max_samples: int = 0,
    directions: bool = False,
) -> RetrievalDataset:
    """Read points, captions and (unless `image_size` is 0) framed images of a library.

    Args:
        library: Open.
        image_size: Pixels along each side of the images; 0 leaves them out.
        split: CSV `model_id,split` that overrules the library; objects it lacks are left out.
        max_samples: Only the first so many objects; 0 = all.
        directions: Also read the cameras of the images.

    Raises:
        UserError: Something that is needed is missing; the line names the object.
    """
    entries = list(library.objects)
    splits = _read_splits(split) if split else {}
    if split:
        entries = [entry for entry in entries if entry.object_id in splits]
    entries = entries[:max_samples] if max_samples else entries
    if not entries:
        where = f", --split {split} names none of its objects" if split else ""
        raise UserError(f"{library.root}: no objects in it{where}")
    for entry in entries:
        if entry.points is None:
            raise UserError(
                f"{library.root}: {entry.object_id} has no point cloud; "
                "`triform shapes prepare` makes them"
            )
    points, colors = _pack_points(library, entries)
    return RetrievalDataset(
        ids=tuple(entry.object_id for entry in entries),
        sources=tuple(entry.source for entry in entries),
        splits=tuple(
            splits.get(entry.object_id) or entry.split or split_by_id(entry.object_id)
            for entry in entries
        ),
        captions=tuple(
            tuple(
                text
                for text, language in library.captions.get(entry.object_id, ())
                if language == "en"
            )
            for entry in entries
        ),
        points=points,
        colors=colors,
        views=_pack_views(library, entries, image_size) if image_size else None,
        directions=_pack_directions(library, entries) if directions else None,
    )


def _read_splits(path: str) -> dict[str, str]:
    """Object id -> split, from a CSV with the columns `model_id` (or `object_id`) and `split`."""
    try:
        text = read_regular(path, MAX_SPLIT_BYTES).decode("utf-8-sig")
    except UserError as error:
        raise UserError(f"--split {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--split {path}: cannot be read as UTF-8 CSV ({error})") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = rows.fieldnames or []
    key = next((name for name in ("model_id", "object_id") if name in columns), None)
    if key is None or "split" not in columns:
        raise UserError(f"--split {path}: its first line must name model_id and split")
    splits = {}
    for number, row in enumerate(rows, start=2):
        word = (row["split"] or "").strip().lower()
        if word not in SPLIT_WORDS:
            raise UserError(
                f"--split {path}: line {number}: split {word!r}, expected train, validation or test"
            )
        splits[(row[key] or "").strip()] = SPLIT_WORDS[word]
    return splits


def _pack_points(
    library: Library, entries: Sequence[LibraryObject]
) -> tuple[np.ndarray, np.ndarray]:
    """Points of all objects, as many of each as the smallest has, and their colours."""
    paths = [str(entry.points) for entry in entries]
    count = min(len(as_rows(read_array(library, path), path)) for path in paths)
    selected = {}

    def points_of(index: int) -> np.ndarray:
        path = paths[index]
        values = as_rows(read_array(library, path), path)
        selected[index] = np.arange(count) * len(values) // count
        if not np.isfinite(values).all():
            raise UserError(
                f"{library.root}: {path} holds NaN or infinity; `triform shapes prepare` the "
                "object again"
            )
        return values[selected[index]]

    def colors_of(index: int) -> np.ndarray:
        path = entries[index].colors
        if path is None:
            return np.full((count, 3), GREY, np.uint8)
        values = as_rows(read_array(library, path), path, "colours")
        if values.dtype.kind == "f":
            values = np.rint(np.clip(values, 0, 1) * 255)
        rows = np.arange(count) * len(values) // count
        return values[rows].astype(np.uint8)

    key = _key(library, ("points",), [*paths, *(str(entry.colors) for entry in entries)])
    shape = (len(entries), count, 3)
    return (
        cached_array(f"{key}_points", shape, np.float32, points_of, "points"),
        cached_array(f"{key}_colors", shape, np.uint8, colors_of, "colours"),
    )


def _pack_views(library: Library, entries: Sequence[LibraryObject], size: int) -> np.ndarray:
    """As many images of each object as the one with fewest has, cut to the object."""
    count = min(entry.views for entry in entries)
    if not count:
        name = next(entry.object_id for entry in entries if not entry.views)
        raise UserError(
            f"{library.root}: {name} has no images; `triform shapes prepare --views 24` makes them"
        )
    key = _key(library, ("images",), [path for entry in entries for path in entry.images[:count]])

    def framed(index: int) -> np.ndarray:
        paths = entries[index].images[:count]
        return np.stack([frame(read_image(library, path), size) for path in paths])

    shape = (len(entries), count, size, size, 4)
    return cached_array(f"{key}_views_{size}", shape, np.uint8, framed, "images")


def _pack_directions(library: Library, entries: Sequence[LibraryObject]) -> np.ndarray:
    """Directions from each object to the cameras of its packed images."""
    count = min(entry.views for entry in entries)
    short = next((entry for entry in entries if len(entry.cameras) < count), None)
    if short is not None:
        raise UserError(
            f"{library.root}: {short.object_id} has images without cameras; --near_views 0 does "
            "without them"
        )

    def directions_of(index: int) -> np.ndarray:
        rows = []
        for path in entries[index].cameras[:count]:
            try:
                camera = Camera.from_json(json.loads(library.read_bytes(path)), path)
            except (ValueError, MeshError) as error:
                raise UserError(f"{library.root}: {path}: no camera ({error})") from None
            rows.append(camera.origin / max(float(np.linalg.norm(camera.origin)), 1e-9))
        return np.stack(rows)

    key = _key(library, ("cameras",), [path for e in entries for path in e.cameras[:count]])
    shape = (len(entries), count, 3)
    return cached_array(f"{key}_directions", shape, np.float32, directions_of, "cameras")


def _key(library: Library, folders: Iterable[str], paths: Iterable[str]) -> str:
    """Cache key that changes with any of the files."""
    versions = {
        path: version
        for folder in folders
        for path, version in library.store.fingerprints(folder).items()
    }
    digest = hashlib.sha256(f"{_VERSION}\n{library.root}\n".encode())
    for path in paths:
        digest.update(f"{path}\t{versions.get(path, '')}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:24]


COPIES_RESOLUTION = 32
"""Resolution of the voxels by which near copies are put into one split."""


def open_library(data: DataConfig) -> Library:
    """Open the library of a run; a known data set becomes one in the cache folder.

    Raises:
        UserError: Neither a library nor a known data set, or it cannot be prepared.
    """
    settings = PrepareSettings(
        meshes=(data.library,),
        library=data.library,  # the cache folder, where it is prepared
        views=data.prepared_views,
        cameras=data.prepared_cameras,
        image_size=data.prepared_size,
        points=data.prepared_points,
        voxel_size=(COPIES_RESOLUTION,),
        download_path=data.download_path,
    )
    return open_or_prepare(data.library, settings)
