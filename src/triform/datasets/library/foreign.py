"""Reader of libraries made by other programs: objects from file names and foreign metadata.

The Shap-E document names images `object1_view1.png`, point clouds `object1.npy` and cameras
`object1_view1.json`; it asks for a `metadata.json` that relates images to point clouds without
defining its form. The usual forms are read here and completed from the file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from triform.base.errors import UserError
from triform.datasets.library.field_types import MAX_VOXEL_SIZE
from triform.datasets.library.ids import id_problem, path_problem
from triform.datasets.library.layout import (
    FOLDERS,
    METADATA,
    LibraryObject,
    current_path,
    invalid_object,
    parse_json,
    parse_metadata,
    read_table,
)
from triform.datasets.library.store import Store

# Group 1 is the object. Greedy: "a_view_view2" is view 2 of "a_view".
IMAGE = re.compile(r"images/(.+)_view(\d+)\.png")
DEPTH = re.compile(r"depth/(.+)_view(\d+)\.png")
CAMERA = re.compile(r"cameras/(.+)_view(\d+)\.json")
POINTS = re.compile(r"(points|colors|normals)/([^/]+)\.npy")
VOXELS = re.compile(r"voxels/(.+)_(\d+)\.npz")

_ID_KEYS = ("object_id", "id", "uid", "object", "name")
_IMAGE_KEYS = ("images", "image", "views", "renders")
_POINTS_KEYS = ("points", "point_cloud", "pointcloud", "points_path")


class UnknownFormError(UserError):
    """A `metadata.json` of an unknown form."""


def list_files(store: Store) -> dict[str, int]:
    """Path -> size in bytes of all files in the folders of a library."""
    return {path: size for folder in FOLDERS for path, size in store.sizes(folder).items()}


def find_objects(store: Store) -> dict[str, LibraryObject] | None:
    """Objects of any library by id; None if there are no files.

    Raises:
        UserError: its `metadata.json` is not JSON, or of an unknown form.
    """
    data = read_table(store, METADATA)
    if data is None:
        return objects_from_names(list_files(store)) or None
    source = f"{store.root}/{METADATA}"
    entries = parse_json(data, source)
    if is_ours(entries):
        return parse_metadata(entries, source)
    return merge_metadata(entries, objects_from_names(list_files(store)), source)


def is_ours(entries: Any) -> bool:
    """Whether a `metadata.json` was written by `triform shapes prepare`."""
    return isinstance(entries, dict) and all(
        isinstance(entry, dict) and "parts" in entry for entry in entries.values()
    )


def objects_from_names(files: Iterable[str]) -> dict[str, LibraryObject]:
    """Objects from file names, also those of version 0; files of other names are left out.

    So are unsafe names (`ids.path_problem`), and voxels that are finer than can be read.
    """
    objects: dict[str, dict[str, Any]] = {}
    patterns = (("depths", DEPTH), ("images", IMAGE), ("cameras", CAMERA), ("voxels", VOXELS))
    for path in files:
        name = current_path(path)
        if path_problem(path):
            continue
        if match := POINTS.fullmatch(name):
            if not id_problem(match[2]):
                objects.setdefault(match[2], {})[match[1]] = path
            continue
        for kind, pattern in patterns:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            too_fine = kind == "voxels" and not 1 <= int(match[2]) <= MAX_VOXEL_SIZE
            if not too_fine and not id_problem(match[1]):
                objects.setdefault(match[1], {}).setdefault(kind, {})[int(match[2])] = path
            break
    return {name: _from_parts(name, entry) for name, entry in sorted(objects.items())}


def _from_parts(object_id: str, entry: dict[str, Any]) -> LibraryObject:
    images: dict[int, str] = entry.get("images", {})
    views = sorted(images)

    def matching(kind: str) -> tuple[str, ...]:
        """Files of the same views as the images; empty if one is missing."""
        available: dict[int, str] = entry.get(kind, {})
        return tuple(available[view] for view in views) if set(views) <= set(available) else ()

    return LibraryObject(
        object_id=object_id,
        images=tuple(images[view] for view in views),
        depths=matching("depths"),
        cameras=matching("cameras"),
        points=entry.get("points"),
        colors=entry.get("colors"),
        normals=entry.get("normals"),
        voxels=entry.get("voxels", {}),
    )


def merge_metadata(
    entries: Any, from_names: Mapping[str, LibraryObject], source: str
) -> dict[str, LibraryObject]:
    """Objects of a foreign `metadata.json`, completed from the file names.

    The forms are an object of objects (object id -> its files), a list of objects with an id, both
    also below "objects", and pairs of an image and a point cloud, as an object or as a list.

    Args:
        entries: parsed JSON.
        from_names: objects from file names.
        source: name of the file, for error messages.

    Raises:
        UnknownFormError: none of these forms.
    """
    if isinstance(entries, dict) and isinstance(entries.get("objects"), (dict, list)):
        entries = entries["objects"]
    objects: dict[str, dict[str, Any]] = {}
    for object_id, entry in _entries(entries, source):
        images = _paths(next((entry[k] for k in _IMAGE_KEYS if k in entry), ()), "images")
        points = _paths(next((entry[k] for k in _POINTS_KEYS if k in entry), ()), "points")
        # A dict keeps the order and is fast: pairs may name one object ten thousand times.
        merged = objects.setdefault(object_id, {**entry, "images": {}, "points": None})
        merged["images"].update(dict.fromkeys(images))
        merged["points"] = next(iter(points), merged["points"])
    return {
        object_id: _merge_object(
            object_id, {**entry, "images": [*entry["images"]]}, from_names.get(object_id), source
        )
        for object_id, entry in sorted(objects.items())
    }


def _entries(entries: Any, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(entries, dict):
        for key, value in entries.items():
            if isinstance(value, dict):
                yield key, value
            elif isinstance(value, str):
                image, points = (key, value) if key.endswith(".png") else (value, key)
                yield _object_of(points, image), {"images": [image], "points": points}
            elif isinstance(value, list) and all(isinstance(entry, str) for entry in value):
                yield _object_of(key, key), {"images": value}
            else:
                raise _unknown_form(source, f"{key!r} holds a {type(value).__name__}")
        return
    if not isinstance(entries, list):
        raise _unknown_form(source, f"it holds a {type(entries).__name__}")
    for position, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise _unknown_form(source, f"entry {position} is a {type(entry).__name__}")
        object_id = next((entry[key] for key in _ID_KEYS if key in entry), None)
        if object_id is None:
            points = next((entry[k] for k in _POINTS_KEYS if k in entry), None)
            image = next((entry[k] for k in _IMAGE_KEYS if k in entry), None)
            if not isinstance(points, str) and not isinstance(image, str):
                raise _unknown_form(source, f"entry {position} has no object_id")
            object_id = _object_of(str(points or ""), image if isinstance(image, str) else "")
        yield str(object_id), entry


def _object_of(points: str, image: str) -> str:
    """Id of the object from the name of its point cloud or image."""
    if points:
        return points.rpartition("/")[2].removesuffix(".npy")
    name = image.rpartition("/")[2].removesuffix(".png")
    return re.sub(r"_view\d+$", "", name)


def _paths(value: Any, folder: str) -> list[str]:
    """Paths inside the library; a name without a folder gets the default one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)):
        return []
    return [
        (text if "/" in text else f"{folder}/{text}")
        for text in (
            entry.replace("\\", "/").removeprefix("./")
            for entry in values
            if isinstance(entry, str)
        )
        if text
    ]


def _merge_object(
    object_id: str, entry: dict[str, Any], from_names: LibraryObject | None, source: str
) -> LibraryObject:
    fields = dict(from_names) if from_names else {}
    fields["object_id"] = object_id
    if entry["images"] and tuple(entry["images"]) != fields.get("images"):
        fields["images"] = tuple(entry["images"])
        # Depths and cameras are known for images of the usual names only.
        fields["depths"] = _matching_files(
            from_names.depths if from_names else (), entry["images"], ".png"
        )
        fields["cameras"] = _matching_files(
            from_names.cameras if from_names else (), entry["images"], ".json"
        )
    fields["points"] = entry["points"] or fields.get("points")
    for key in ("split", "category", "licence", "source", "sha256"):
        if isinstance(entry.get(key), str):
            fields[key] = entry[key]
    try:
        return LibraryObject(**fields)
    except pydantic.ValidationError as error:
        raise invalid_object(source, object_id, error) from None


def _matching_files(available: tuple[str, ...], images: list[str], ending: str) -> tuple[str, ...]:
    by_stem = {
        current_path(path).rpartition("/")[2].removesuffix(ending): path for path in available
    }
    stems = [path.rpartition("/")[2].removesuffix(".png") for path in images]
    return tuple(by_stem[stem] for stem in stems) if all(s in by_stem for s in stems) else ()


def _unknown_form(source: str, description: str) -> UnknownFormError:
    return UnknownFormError(
        f"{source}: {description}; expected an object of objects: object id -> "
        '{"images": [...], "points": ...}'
    )
