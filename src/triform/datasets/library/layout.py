"""Files of a shape library, and readers and writers of its tables.

::

    LIBRARY/
      captions.csv            object_id,caption (and language, if not all are English)
      metadata.json           object id -> `LibraryObject`
      points/ID.npy           (N, 3) float32
      colors/ID.npy           (N, 3) uint8 sRGB of the points
      normals/ID.npy          (N, 3) float32 of the points
      images/ID_view1.png     RGBA, straight alpha
      depth/ID_view1.png      16 bit: depth * 65536 / 5, 65535 for the background
      cameras/ID_view1.json   origin, x, y, z, fov
      voxels/ID_64.npz        occupancy (bit-packed), resolution
      failed.csv              meshes that could not be prepared, and the reasons

`images` and `points` hold nothing else, as the Shap-E document has it: a loader may count their
files. Libraries of version 0 have depths as images/ID_view1.depth.png, colours and normals as
points/ID.colors.npy and points/ID.normals.npy; they are read, and `move_old_files` moves them.

Objects are centred, their longest side is 1, +Y is up. Views are numbered from 1.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic
from pydantic import AliasChoices, Field

from triform.base.csv_file import csv_text
from triform.base.errors import UserError
from triform.datasets.library.field_types import (
    CameraPath,
    ColorsPath,
    DepthPath,
    ImagePath,
    NormalsPath,
    ObjectId,
    PointsPath,
    VoxelSize,
    VoxelsPath,
)
from triform.datasets.library.ids import path_problem
from triform.datasets.library.store import Store

METADATA = "metadata.json"
CAPTIONS = "captions.csv"
FAILED = "failed.csv"
FOLDERS = ("images", "cameras", "points", "voxels", "depth", "colors", "normals")
_OLD_DEPTH = re.compile(r"images/([^/]+)\.depth\.png")
_OLD_ARRAY = re.compile(r"points/([^/]+)\.(colors|normals)\.npy")
# Depth images: value = depth * 65536 / MAX_DEPTH, and FAR for the background.
MAX_DEPTH = 5.0
FAR = 0xFFFF

# Object id -> (caption, language) pairs.
Captions = dict[str, list[tuple[str, str]]]


def image_path(object_id: str, view: int) -> str:
    """Path of an image; views are numbered from 1."""
    return f"images/{object_id}_view{view}.png"


def depth_path(object_id: str, view: int) -> str:
    """Path of the depth of the same view."""
    return f"depth/{object_id}_view{view}.png"


def camera_path(object_id: str, view: int) -> str:
    """Path of the camera of the same view."""
    return f"cameras/{object_id}_view{view}.json"


def points_path(object_id: str) -> str:
    """Path of the point cloud, (N, 3) float32."""
    return f"points/{object_id}.npy"


def colors_path(object_id: str) -> str:
    """Path of the colours of the points, (N, 3) uint8 sRGB."""
    return f"colors/{object_id}.npy"


def normals_path(object_id: str) -> str:
    """Path of the normals of the points, (N, 3) float32 of length 1."""
    return f"normals/{object_id}.npy"


def voxels_path(object_id: str, size: int) -> str:
    """Path of the bit-packed occupancy."""
    return f"voxels/{object_id}_{size}.npz"


def current_path(path: str) -> str:
    """Path that a file of a library of version 0 has now; the same for any other file."""
    if match := _OLD_DEPTH.fullmatch(path):
        return f"depth/{match[1]}.png"
    if match := _OLD_ARRAY.fullmatch(path):
        return f"{match[2]}/{match[1]}.npy"
    return path


class Part(pydantic.BaseModel):
    """A group of files of an object that are made together.

    Attributes:
        key: digest of the mesh and the settings that they were made from.
        size: their total size in bytes.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    key: str
    size: int


class LibraryObject(pydantic.BaseModel):
    """One object of a library: paths of its files, and its source.

    Validation is here and nowhere else: ids can name files, and paths lie in the library's folders,
    even if the table comes from an unknown program.

    Attributes:
        object_id: name in file names and captions.
        source: id in the source data set.
        dataset: name of that data set.
        source_file: the mesh file on the machine that prepared it; `FILE#MODEL` in an archive.
        images: paths, one for each view; `depths` and `cameras` are in the same order.
        depths: paths of depth images.
        cameras: paths of cameras.
        points: path of the point cloud; `colors` and `normals` are in the same order.
        colors: path of the colours of the points.
        normals: path of the normals of the points.
        voxels: voxels along a side -> path.
        sha256: of the source mesh file.
        dependencies: sha256 of each file that the mesh file refers to; "" if it is missing.
        content: digest of the mesh and its dependencies.
        scale: units of the mesh for one unit of the library.
        centre: of the bounding box of the mesh, +Y up: mesh = library * scale + centre.
        faces: number of triangles of the mesh.
        split: "train", "val", "test" or None.
        source_split: split in the source data set.
        category: in the source data set.
        licence: of the source.
        captions: language -> number of captions.
        image_size: pixels along each side of an image.
        point_count: number of points.
        parts: finished parts by name: "views", "points", and "voxels_64" for each voxel size.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    object_id: ObjectId
    source: str = ""
    dataset: str = ""
    source_file: str = ""
    images: tuple[ImagePath, ...] = ()
    depths: tuple[DepthPath, ...] = ()
    cameras: tuple[CameraPath, ...] = ()
    points: PointsPath | None = None
    colors: ColorsPath | None = None
    normals: NormalsPath | None = None
    voxels: dict[VoxelSize, VoxelsPath] = {}
    sha256: str = ""
    # The second names are those in libraries of version 0.
    dependencies: dict[str, str] = Field(
        {}, validation_alias=AliasChoices("dependencies", "beside")
    )
    content: str = ""
    scale: float = 1.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    faces: int = 0
    split: str | None = None
    source_split: str | None = Field(
        None, validation_alias=AliasChoices("source_split", "given_split")
    )
    category: str = ""
    licence: str = ""
    captions: dict[str, int] = {}
    image_size: int = 0
    point_count: int = 0
    parts: dict[str, Part] = {}

    @property
    def views(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def voxel_sizes(self) -> tuple[int, ...]:
        """Voxels along a side, of each voxel file, in ascending order."""
        return tuple(sorted(self.voxels))

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of all files."""
        single = (self.points, self.colors, self.normals)
        return (
            *self.images,
            *self.depths,
            *self.cameras,
            *(path for path in single if path),
            *self.voxels.values(),
        )

    def with_current_paths(self) -> LibraryObject:
        """The object with its files where `move_old_files` puts them."""
        paths: dict[str, Any] = {
            "depths": tuple(map(current_path, self.depths)),
            "colors": self.colors and current_path(self.colors),
            "normals": self.normals and current_path(self.normals),
        }
        return self if paths.items() <= dict(self).items() else self.model_copy(update=paths)

    def part_files(self, part: str) -> tuple[str, ...]:
        """Paths of the files of one part."""
        if part == "views":
            return (*self.images, *self.depths, *self.cameras)
        if part == "points":
            return tuple(path for path in (self.points, self.colors, self.normals) if path)
        path = self.voxels.get(int(part.removeprefix("voxels_")))
        return (path,) if path else ()


def read_metadata(store: Store, path: str = METADATA) -> dict[str, LibraryObject] | None:
    """Objects of `metadata.json` by id; None without such a file.

    Raises:
        UserError: it is not such a table; the message names the object and the field.
    """
    data = read_table(store, path)
    name = f"{store.root}/{path}"
    return None if data is None else parse_metadata(parse_json(data, name), name)


def read_table(store: Store, path: str) -> bytes | None:
    """Content of a table of a library; None without such a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return store.read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{store.root}/{path}: cannot be read ({error.strerror})") from None


def parse_json(data: bytes, name: str) -> Any:
    """Parsed JSON.

    Raises:
        UserError: it is not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"{name}: not JSON ({' '.join(str(error).split())[:120]})") from None
    except RecursionError:
        raise UserError(f"{name}: not a table of objects: nested too deeply") from None


def parse_metadata(entries: Any, name: str) -> dict[str, LibraryObject]:
    """Objects by id, from the content of a `metadata.json` of this program.

    Args:
        entries: parsed JSON.
        name: of the file, for error messages.

    Raises:
        UserError: it is not such a table; the message names the object and the field.
    """
    if not isinstance(entries, dict) or not all(isinstance(v, dict) for v in entries.values()):
        raise UserError(f"{name}: expected an object of objects, object id -> its files")
    objects = {}
    for object_id, entry in entries.items():
        try:
            objects[object_id] = LibraryObject(**{**entry, "object_id": object_id})
        except pydantic.ValidationError as error:
            raise invalid_object(name, object_id, error) from None
    return objects


def invalid_object(name: str, object_id: str, error: pydantic.ValidationError) -> UserError:
    """Error for an invalid entry of a table, in one line.

    Args:
        name: of the table.
        object_id: of the entry.
        error: of `LibraryObject`.
    """
    detail = error.errors(include_url=False)[0]
    field = ".".join(map(str, detail["loc"]))[:80]
    reason = detail["msg"].removeprefix("Value error, ")
    return UserError(f"{name}: {object_id[:120]!r}: {field}: {reason}")


def metadata_bytes(objects: Mapping[str, LibraryObject]) -> bytes:
    """Content of `metadata.json`: one object per line, sorted by id."""
    lines = []
    for object_id in sorted(objects):
        entry = objects[object_id].model_dump(mode="json", exclude={"object_id"})
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        lines.append(f"{json.dumps(object_id, ensure_ascii=False)}: {text}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_captions(store: Store) -> Captions:
    """Captions from `captions.csv`; empty without such a file.

    Raises:
        UserError: it cannot be read, or has no such columns.
    """
    data = read_table(store, CAPTIONS)
    if data is None:
        return {}
    captions: Captions = {}
    name = f"{store.root}/{CAPTIONS}"
    for object_id, caption, language in parse_captions(data, name):
        if problem := path_problem(object_id):
            raise UserError(f"{name}: the id {object_id[:120]!r} {problem}; mend or remove its row")
        captions.setdefault(object_id, []).append((caption, language))
    return captions


def parse_captions(data: bytes, source: str) -> list[tuple[str, str, str]]:
    """Rows (object id or file name, caption, language) of a captions CSV.

    Args:
        data: UTF-8; the first line names `object_id` (or `file`), `caption` and optionally
            `language`, which is English ("en") by default.
        source: name of the file, for error messages.

    Raises:
        UserError: it is not such a file.
    """
    try:
        reader = csv.DictReader(
            io.StringIO(data.decode("utf-8-sig"), newline=""), skipinitialspace=True
        )
        columns = reader.fieldnames or []
        id_column = next((name for name in ("object_id", "file") if name in columns), None)
        if id_column is None or "caption" not in columns:
            raise UserError(
                f"{source}: its first line is {','.join(columns)[:80]!r}; "
                "it has to name object_id (or file) and caption"
            )
        rows = []
        for row in reader:
            name, caption = (row[id_column] or "").strip(), (row["caption"] or "").strip()
            if name and caption:
                rows.append((name, caption, (row.get("language") or "").strip() or "en"))
        return rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source}: cannot be read as UTF-8 CSV: {error}") from None


def captions_bytes(captions: Captions) -> bytes:
    """Content of `captions.csv`, sorted by object; without a language column if all are English."""
    languages = {language for pairs in captions.values() for _, language in pairs} - {"en"}
    columns = ["object_id", "caption", *(["language"] if languages else [])]
    rows = [
        [object_id, caption, language][: len(columns)]
        for object_id in sorted(captions)
        for caption, language in captions[object_id]
    ]
    return csv_bytes(columns, rows)


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Content of a CSV file in UTF-8, one line per row."""
    return csv_text([columns, *rows], report=False).encode("utf-8")
