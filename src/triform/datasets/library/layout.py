"""What lies where in a shape library, and reading its tables.

::

    LIBRARY/
      captions.csv            object_id,caption (and language where there is more than English)
      metadata.json           object id -> `LibraryObject`
      points/ID.npy           (N, 3) float32; ID.colors.npy (N, 3) uint8; ID.normals.npy float32
      images/ID_view1.png     RGBA, straight alpha; ID_view1.depth.png 16 bit: depth * 65536 / 5,
                              65535 where there is nothing
      cameras/ID_view1.json   origin, x, y, z, fov
      voxels/ID_64.npz        occupancy (bit-packed), resolution
      failed.csv              what could not be prepared, and why

Objects are centred, their longest side is 1, +Y is up. Views are numbered from 1.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic

from triform.base.csv_file import csv_text
from triform.base.errors import UserError
from triform.datasets.library.fields import (
    CameraPath,
    GridSize,
    ImagePath,
    ObjectId,
    PointsPath,
    VoxelsPath,
)
from triform.datasets.library.ids import path_fault
from triform.datasets.library.store import Store

METADATA = "metadata.json"
CAPTIONS = "captions.csv"
FAILED = "failed.csv"
FOLDERS = ("images", "cameras", "points", "voxels")
# Depth pictures: value = depth * 65536 / MAX_DEPTH, and FAR where no surface is.
MAX_DEPTH = 5.0
FAR = 0xFFFF


Captions = dict[str, list[tuple[str, str]]]


def image_path(object_id: str, view: int) -> str:
    """Picture of an object from one side; views are numbered from 1."""
    return f"images/{object_id}_view{view}.png"


def depth_path(object_id: str, view: int) -> str:
    """Depth of the same picture."""
    return f"images/{object_id}_view{view}.depth.png"


def camera_path(object_id: str, view: int) -> str:
    """Camera of the same picture."""
    return f"cameras/{object_id}_view{view}.json"


def points_path(object_id: str) -> str:
    """Point cloud, (N, 3) float32."""
    return f"points/{object_id}.npy"


def colors_path(object_id: str) -> str:
    """Colours of the points, (N, 3) uint8 sRGB."""
    return f"points/{object_id}.colors.npy"


def normals_path(object_id: str) -> str:
    """Normals of the points, (N, 3) float32 of length 1."""
    return f"points/{object_id}.normals.npy"


def voxels_path(object_id: str, size: int) -> str:
    """Occupancy, bit-packed."""
    return f"voxels/{object_id}_{size}.npz"


class Part(pydantic.BaseModel):
    """Files of an object that are made together.

    Attributes:
        key: changes with the mesh and with the settings that they were made with.
        size: bytes of all of them.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    key: str
    size: int


class LibraryObject(pydantic.BaseModel):
    """One object of a library: where its files are, where it comes from.

    Whoever wrote the table: its id can name files, and its paths lie in the library's folders.
    This is the one place where that is checked.

    Attributes:
        object_id: its name in file names and captions.
        source: its id in the data set that it comes from.
        dataset: name of that data set.
        images: pictures, one for each view; `depths` and `cameras` go with them.
        points: point cloud; `colors` and `normals` go with it.
        voxels: side of the grid -> file.
        sha256: of the mesh file that it was made from.
        beside: sha256 of each file that the mesh file refers to; "" where it is missing.
        content: changes when the mesh or anything that it refers to does.
        scale: units of the mesh for one unit of the library.
        centre: of the mesh's box, in its own units: mesh = library * scale + centre.
        faces: triangles of the mesh.
        split: "train", "val", "test" or None.
        given_split: what the data set itself says.
        captions: language -> how many.
        image_size: pixels along each side of a picture.
        point_count: points in the cloud.
        parts: what was made, for whoever goes on with the preparation: "views", "points", and
            "voxels_64" for each size.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    object_id: ObjectId
    source: str = ""
    dataset: str = ""
    images: tuple[ImagePath, ...] = ()
    depths: tuple[ImagePath, ...] = ()
    cameras: tuple[CameraPath, ...] = ()
    points: PointsPath | None = None
    colors: PointsPath | None = None
    normals: PointsPath | None = None
    voxels: dict[GridSize, VoxelsPath] = {}
    sha256: str = ""
    beside: dict[str, str] = {}
    content: str = ""
    scale: float = 1.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    faces: int = 0
    split: str | None = None
    given_split: str | None = None
    category: str = ""
    licence: str = ""
    captions: dict[str, int] = {}
    image_size: int = 0
    point_count: int = 0
    parts: dict[str, Part] = {}

    @property
    def views(self) -> int:
        """Number of pictures."""
        return len(self.images)

    @property
    def voxel_sizes(self) -> tuple[int, ...]:
        """Sides of the voxel grids that there are."""
        return tuple(sorted(self.voxels))

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the object."""
        single = (self.points, self.colors, self.normals)
        return (
            *self.images, *self.depths, *self.cameras,
            *(path for path in single if path), *self.voxels.values(),
        )  # fmt: skip

    def part_files(self, part: str) -> tuple[str, ...]:
        """The files of one of its parts."""
        if part == "views":
            return (*self.images, *self.depths, *self.cameras)
        if part == "points":
            return tuple(path for path in (self.points, self.colors, self.normals) if path)
        path = self.voxels.get(int(part.removeprefix("voxels_")))
        return (path,) if path else ()


class Library:
    """A library that is there: its tables, and access to its files.

    Attributes:
        root: folder or address.
        store: access to the files.
        objects: sorted by id.
        captions: object id -> (caption, language) pairs.
    """

    def __init__(self, store: Store, objects: Iterable[LibraryObject], captions: Captions) -> None:
        self.root, self.store, self.captions = store.root, store, captions
        self.objects = sorted(objects, key=lambda item: item.object_id)

    @classmethod
    def open(cls, root: str) -> Library:
        """Read the tables of a library.

        One that somebody else made, without our `metadata.json`, is read by its file names.

        Args:
            root: a folder, or any address that fsspec knows.

        Raises:
            UserError: there is none, or its tables cannot be read.
        """
        from triform.datasets.library.foreign import find_objects  # which builds on this module

        store = Store(root)
        objects = find_objects(store)
        if objects is None:
            raise UserError(
                f"{store.root}: no {METADATA} and no objects in it, so it is no shape library; "
                "make one with `triform shapes prepare MESHES LIBRARY`"
            )
        return cls(store, objects.values(), read_captions(store))

    def __len__(self) -> int:
        return len(self.objects)

    def read_bytes(self, path: str) -> bytes:
        """The content of one file.

        Raises:
            UserError: it is not there.
        """
        try:
            return self.store.read_bytes(path)
        except OSError as error:
            raise UserError(
                f"{self.root}: {path} cannot be read ({error.strerror or 'it is not there'}); "
                "`triform shapes check` says what else is missing"
            ) from None

    def split(self, name: str) -> list[LibraryObject]:
        """The objects of one split."""
        return [item for item in self.objects if item.split == name]


def read_metadata(store: Store, path: str = METADATA) -> dict[str, LibraryObject] | None:
    """What `metadata.json` says, by object id; None where there is no such file.

    Raises:
        UserError: it is no such table; the line names the object and the field.
    """
    data = read_table(store, path)
    name = f"{store.root}/{path}"
    return None if data is None else parse_metadata(parse_json(data, name), name)


def read_table(store: Store, path: str) -> bytes | None:
    """The content of one of a library's tables; None where it is not there.

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
    """The content of a JSON file.

    Raises:
        UserError: it is none, or nested too deeply to be read.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"{name}: not JSON ({' '.join(str(error).split())[:120]})") from None
    except RecursionError:
        raise UserError(f"{name}: not a table of objects: nested too deeply") from None


def parse_metadata(entries: Any, name: str) -> dict[str, LibraryObject]:
    """Objects by id, from what is in a `metadata.json` of ours.

    Args:
        entries: its content.
        name: of the file, for complaints.

    Raises:
        UserError: it is no such table; the line names the object and the field.
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
    """What is wrong with an entry of a table, as one line.

    Args:
        name: of the table.
        object_id: whose entry it is.
        error: of `LibraryObject`.
    """
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))[:80]
    reason = first["msg"].removeprefix("Value error, ")
    return UserError(f"{name}: {object_id[:120]!r}: {field}: {reason}")


def metadata_bytes(objects: Mapping[str, LibraryObject]) -> bytes:
    """`metadata.json`: an object a line, sorted, the same for the same objects."""
    lines = []
    for object_id in sorted(objects):
        entry = objects[object_id].model_dump(mode="json", exclude={"object_id"})
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        lines.append(f"{json.dumps(object_id, ensure_ascii=False)}: {text}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_captions(store: Store) -> Captions:
    """What `captions.csv` says: object id -> (caption, language); empty where there is none.

    Raises:
        UserError: it cannot be read, or has no such columns.
    """
    data = read_table(store, CAPTIONS)
    if data is None:
        return {}
    captions: Captions = {}
    name = f"{store.root}/{CAPTIONS}"
    for object_id, caption, language in parse_captions(data, name):
        if fault := path_fault(object_id):
            raise UserError(f"{name}: the id {object_id[:120]!r} {fault}; mend or remove its row")
        captions.setdefault(object_id, []).append((caption, language))
    return captions


def parse_captions(data: bytes, source: str) -> list[tuple[str, str, str]]:
    """Rows (object id or file name, caption, language) of a captions CSV.

    Args:
        data: the file: UTF-8, a first line that names `object_id` (or `file`) and `caption`, and
            perhaps `language`, which is English ("en") where nothing is said.
        source: its name, for complaints.

    Raises:
        UserError: it is no such file.
    """
    try:
        reader = csv.DictReader(
            io.StringIO(data.decode("utf-8-sig"), newline=""), skipinitialspace=True
        )
        columns = reader.fieldnames or []
        key = next((name for name in ("object_id", "file") if name in columns), None)
        if key is None or "caption" not in columns:
            raise UserError(
                f"{source}: its first line is {','.join(columns)[:80]!r}; "
                "it has to name object_id (or file) and caption"
            )
        rows = []
        for row in reader:
            name, caption = (row[key] or "").strip(), (row["caption"] or "").strip()
            if name and caption:
                rows.append((name, caption, (row.get("language") or "").strip() or "en"))
        return rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source}: cannot be read as UTF-8 CSV: {error}") from None


def captions_bytes(captions: Captions) -> bytes:
    """`captions.csv`, sorted by object; without a language column where all is English."""
    languages = {language for pairs in captions.values() for _, language in pairs} - {"en"}
    columns = ["object_id", "caption", *(["language"] if languages else [])]
    rows = [
        [object_id, caption, language][: len(columns)]
        for object_id in sorted(captions)
        for caption, language in captions[object_id]
    ]
    return csv_bytes(columns, rows)


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file in UTF-8, one line for each row."""
    return csv_text([columns, *rows], report=False).encode("utf-8")
