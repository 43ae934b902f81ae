"""Libraries that somebody else made: what belongs together is read from file names.

The Shap-E document names pictures `object1_view1.png`, clouds `object1.npy` and cameras
`object1_view1.json`; it asks for a `metadata.json` that ties pictures to clouds and does not say
in which form. The forms that people write are understood here; what they leave out, the file names
say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from triform.base.errors import UserError
from triform.datasets.library.fields import LARGEST_GRID
from triform.datasets.library.ids import id_fault, path_fault
from triform.datasets.library.layout import (
    FOLDERS,
    METADATA,
    LibraryObject,
    invalid_object,
    parse_json,
    parse_metadata,
    read_table,
)
from triform.datasets.library.store import Store

# Group 1 is the object. Greedy: "a_view_view2" is view 2 of "a_view".
IMAGE = re.compile(r"images/(.+)_view(\d+)\.png")
DEPTH = re.compile(r"images/(.+)_view(\d+)\.depth\.png")
CAMERA = re.compile(r"cameras/(.+)_view(\d+)\.json")
POINTS = re.compile(r"points/([^/]+?)(\.colors|\.normals)?\.npy")
VOXELS = re.compile(r"voxels/(.+)_(\d+)\.npz")

_ID_KEYS = ("object_id", "id", "uid", "object", "name")
_IMAGE_KEYS = ("images", "image", "views", "renders")
_POINTS_KEYS = ("points", "point_cloud", "pointcloud", "points_path")


class OtherForm(UserError):
    """A `metadata.json` that no form known here fits."""


def list_files(store: Store) -> dict[str, int]:
    """Path -> bytes of every file in the folders of a library."""
    return {path: size for folder in FOLDERS for path, size in store.sizes(folder).items()}


def find_objects(store: Store) -> dict[str, LibraryObject] | None:
    """The objects of a library by id, whoever made it; None where there is nothing at all.

    Raises:
        UserError: its `metadata.json` is no JSON, or of a form that nobody knows.
    """
    data = read_table(store, METADATA)
    if data is None:
        return objects_from_names(list_files(store)) or None
    source = f"{store.root}/{METADATA}"
    entries = parse_json(data, source)
    if is_ours(entries):
        return parse_metadata(entries, source)
    return tie(entries, objects_from_names(list_files(store)), source)


def is_ours(entries: Any) -> bool:
    """Whether a `metadata.json` was written by `triform shapes prepare`."""
    return isinstance(entries, dict) and all(
        isinstance(entry, dict) and "parts" in entry for entry in entries.values()
    )


def objects_from_names(files: Iterable[str]) -> dict[str, LibraryObject]:
    """Objects by what their files are called; a file of no object's form is left out.

    So is one whose name is unsafe (`ids.path_fault`), and a grid that is finer than can be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        for kind, pattern in (
            ("depths", DEPTH), ("images", IMAGE), ("cameras", CAMERA),
            ("points", POINTS), ("voxels", VOXELS),
        ):  # fmt: skip
            match = pattern.fullmatch(path)
            if match is None:
                continue
            too_fine = kind == "voxels" and not 1 <= int(match[2]) <= LARGEST_GRID
            if too_fine or path_fault(path) or id_fault(match[1]):
                break
            entry = found.setdefault(match[1], {})
            if kind == "points":
                entry[(match[2] or ".points")[1:]] = path
            else:
                entry.setdefault(kind, {})[int(match[2])] = path
            break
    return {name: _from_parts(name, entry) for name, entry in sorted(found.items())}


def _from_parts(object_id: str, entry: dict[str, Any]) -> LibraryObject:
    images: dict[int, str] = entry.get("images", {})
    views = sorted(images)

    def along(kind: str) -> tuple[str, ...]:
        """Files that go with the pictures: all of them, or none can be used."""
        there: dict[int, str] = entry.get(kind, {})
        return tuple(there[view] for view in views) if set(views) <= set(there) else ()

    return LibraryObject(
        object_id=object_id,
        images=tuple(images[view] for view in views),
        depths=along("depths"),
        cameras=along("cameras"),
        points=entry.get("points"),
        colors=entry.get("colors"),
        normals=entry.get("normals"),
        voxels=entry.get("voxels", {}),
    )


def tie(entries: Any, named: Mapping[str, LibraryObject], source: str) -> dict[str, LibraryObject]:
    """What a `metadata.json` says, completed by what the file names say.

    Understood are an object of objects (object id -> its files), a list of objects with an id, each
    also below "objects", and pairs of a picture and a cloud, as an object or as a list.

    Args:
        entries: the file's content.
        named: objects by file names.
        source: name of the file, for complaints.

    Raises:
        OtherForm: none of these.
    """
    if isinstance(entries, dict) and isinstance(entries.get("objects"), (dict, list)):
        entries = entries["objects"]
    found: dict[str, dict[str, Any]] = {}
    for object_id, entry in _entries(entries, source):
        images = _paths(next((entry[k] for k in _IMAGE_KEYS if k in entry), ()), "images")
        points = _paths(next((entry[k] for k in _POINTS_KEYS if k in entry), ()), "points")
        # A dict for its order: pairs may name one object ten thousand times.
        merged = found.setdefault(object_id, {**entry, "images": {}, "points": None})
        merged["images"].update(dict.fromkeys(images))
        merged["points"] = next(iter(points), merged["points"])
    return {
        object_id: _complete(
            object_id, {**entry, "images": [*entry["images"]]}, named.get(object_id), source
        )
        for object_id, entry in sorted(found.items())
    }


def _entries(entries: Any, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(entries, dict):
        for key, value in entries.items():
            if isinstance(value, dict):
                yield key, value
            elif isinstance(value, str):
                image, points = (key, value) if key.endswith(".png") else (value, key)
                yield _owner(points, image), {"images": [image], "points": points}
            elif isinstance(value, list) and all(isinstance(item, str) for item in value):
                yield _owner(key, key), {"images": value}
            else:
                raise _other(source, f"{key!r} holds a {type(value).__name__}")
        return
    if not isinstance(entries, list):
        raise _other(source, f"it holds a {type(entries).__name__}")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise _other(source, f"entry {number} is a {type(entry).__name__}")
        object_id = next((entry[key] for key in _ID_KEYS if key in entry), None)
        if object_id is None:
            points = next((entry[k] for k in _POINTS_KEYS if k in entry), None)
            image = next((entry[k] for k in _IMAGE_KEYS if k in entry), None)
            if not isinstance(points, str) and not isinstance(image, str):
                raise _other(source, f"entry {number} has no object_id")
            object_id = _owner(str(points or ""), image if isinstance(image, str) else "")
        yield str(object_id), entry


def _owner(points: str, image: str) -> str:
    """The object that a file belongs to, by the names of its cloud or its picture."""
    if points:
        return points.rpartition("/")[2].removesuffix(".npy")
    name = image.rpartition("/")[2].removesuffix(".png")
    return re.sub(r"_view\d+$", "", name)


def _paths(value: Any, folder: str) -> list[str]:
    """Paths inside the library; names without a folder are meant to lie in the usual one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)):
        return []
    return [
        (text if "/" in text else f"{folder}/{text}")
        for text in (
            item.replace("\\", "/").removeprefix("./") for item in values if isinstance(item, str)
        )
        if text
    ]


def _complete(
    object_id: str, entry: dict[str, Any], named: LibraryObject | None, source: str
) -> LibraryObject:
    facts = dict(named) if named else {}
    facts["object_id"] = object_id
    if entry["images"] and tuple(entry["images"]) != facts.get("images"):
        facts["images"] = tuple(entry["images"])
        # Which depth and camera goes with which picture is known for its own pictures alone.
        facts["depths"] = _partners(named.depths if named else (), entry["images"], ".depth.png")
        facts["cameras"] = _partners(named.cameras if named else (), entry["images"], ".json")
    facts["points"] = entry["points"] or facts.get("points")
    for key in ("split", "category", "licence", "source", "sha256"):
        if isinstance(entry.get(key), str):
            facts[key] = entry[key]
    try:
        return LibraryObject(**facts)
    except pydantic.ValidationError as error:
        raise invalid_object(source, object_id, error) from None


def _partners(there: tuple[str, ...], images: list[str], ending: str) -> tuple[str, ...]:
    by_stem = {path.rpartition("/")[2].removesuffix(ending): path for path in there}
    stems = [path.rpartition("/")[2].removesuffix(".png") for path in images]
    return tuple(by_stem[stem] for stem in stems) if all(s in by_stem for s in stems) else ()


def _other(source: str, seen: str) -> OtherForm:
    return OtherForm(
        f"{source}: {seen}; expected an object of objects: object id -> "
        '{"images": [...], "points": ...}'
    )
