"""Checks of a library by file names: missing and unexpected files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from triform.datasets.library.checking.problems import Problem, error, warning
from triform.datasets.library.field_types import MAX_VOXEL_SIZE
from triform.datasets.library.foreign import CAMERA, DEPTH, IMAGE, POINTS, VOXELS
from triform.datasets.library.ids import path_problem
from triform.datasets.library.layout import (
    LibraryObject,
    camera_path,
    current_path,
    depth_path,
    points_path,
)

_FORMS = {
    "images": (IMAGE, "ID_view1.png"),
    "depth": (DEPTH, "ID_view1.png"),
    "cameras": (CAMERA, "ID_view1.json"),
    "points": (POINTS, "ID.npy"),
    "colors": (POINTS, "ID.npy"),
    "normals": (POINTS, "ID.npy"),
    "voxels": (VOXELS, "ID_64.npz"),
}
_MAX_VIEWS_LISTED = 8


def check_names(
    objects: Mapping[str, LibraryObject],
    from_names: Mapping[str, LibraryObject],
    files: Mapping[str, int],
) -> Iterator[Problem]:
    """Problems that need no file to be opened.

    Args:
        objects: the objects of the library.
        from_names: objects from file names.
        files: path -> size in bytes of all files in its folders.
    """
    yield from _check_forms(objects, files)
    yield from _check_empty(files)
    if not objects:
        yield error(
            "nothing",
            "points",
            "there are no objects in this library",
            "name files images/ID_view1.png and points/ID.npy",
        )
        return
    yield from _check_parts(objects)
    yield from _check_views(objects)
    yield from _check_matching_files(objects, from_names, files)


def _check_forms(
    objects: Mapping[str, LibraryObject], files: Mapping[str, int]
) -> Iterator[Problem]:
    listed = {path for entry in objects.values() for path in entry.files}
    old_paths = sorted(path for path in files if current_path(path) != path)
    if old_paths:
        yield warning(
            "old layout",
            old_paths[0],
            f"lies among files of another kind, as do {len(old_paths) - 1:,} more: a program that "
            "counts the files of a folder counts wrong",
            "triform shapes check LIBRARY --fix moves them to depth, colors and normals",
        )
    for path in files:
        folder = path.partition("/")[0]
        pattern, form = _FORMS[folder]
        match = VOXELS.fullmatch(path)
        if fault := path_problem(path):
            yield error(
                "unsafe name",
                ascii(path)[1:-1],
                f"{fault}, so it is never read",
                "rename it: letters, digits, - and _",
            )
        elif match and not 1 <= int(match[2]) <= MAX_VOXEL_SIZE:
            yield error(
                "voxels size",
                path,
                f"{match[2]}^3 voxels, at most {MAX_VOXEL_SIZE}^3 are read",
                "write fewer voxels",
            )
        elif path not in listed and not pattern.fullmatch(current_path(path)):
            yield warning(
                "stray file",
                path,
                "belongs to no object by its name",
                f"name it {folder}/{form}",
            )


def _check_empty(files: Mapping[str, int]) -> Iterator[Problem]:
    for path, size in files.items():
        if size == 0:
            yield error("empty file", path, "has no bytes", "make or copy it again")


def _check_parts(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """If some objects have images or point clouds, all should."""
    for folder, name, noun in (
        ("images", "_view1.png", "image"),
        ("points", ".npy", "point cloud"),
    ):
        missing_ids = [
            object_id for object_id, entry in objects.items() if not getattr(entry, folder)
        ]
        if len(missing_ids) == len(objects):
            yield warning(
                f"no {noun}s",
                folder,
                f"no object has a {noun}",
                f"make them with `triform shapes prepare`, or name them {folder}/ID{name}",
            )
            continue
        for object_id in missing_ids:
            yield error(
                f"{noun} missing",
                f"{folder}/{object_id}{name}",
                f"object {object_id!r} has no {noun}",
                "make it, or remove the object",
            )


def _check_views(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """Every object should have the views that most objects have."""
    views = {
        object_id: numbered
        for object_id, entry in objects.items()
        if (numbered := view_indices(entry)) is not None
    }
    if not views:
        return
    typical = Counter(views.values()).most_common(1)[0][0]
    if typical and sorted(typical) != list(range(min(typical), min(typical) + len(typical))):
        yield warning(
            "views not consecutive",
            "images",
            f"the views of most objects are {_format_list(sorted(typical))}",
            "number them 1, 2, 3, ...",
        )
    for object_id, found in views.items():
        missing, extra = sorted(typical - found), sorted(found - typical)
        if missing and found:
            yield error(
                "views missing",
                f"images/{object_id}_view{missing[0]}.png",
                f"object {object_id!r} lacks views {_format_list(missing)}, which others have",
                "draw them, or remove the object",
            )
        if extra and typical:
            yield warning(
                "more views",
                f"images/{object_id}_view{extra[0]}.png",
                f"object {object_id!r} has views {_format_list(extra)}, which most others lack",
                "harmless if views are selected by number",
            )


def view_indices(entry: LibraryObject) -> frozenset[int] | None:
    """View numbers of an object; None if its images have other names."""
    matches = [IMAGE.fullmatch(path) for path in entry.images]
    if not all(matches):
        return None
    return frozenset(int(match[2]) for match in matches if match)


def _check_matching_files(
    objects: Mapping[str, LibraryObject],
    from_names: Mapping[str, LibraryObject],
    files: Mapping[str, int],
) -> Iterator[Problem]:
    """If some images or point clouds have a depth, camera, colours or normals, all should."""
    present = {current_path(path) for path in files}
    with_depth = any(DEPTH.fullmatch(path) for path in present)
    with_camera = any(CAMERA.fullmatch(path) for path in present)
    images = {path for entry in objects.values() for path in entry.images}
    for path in sorted(images):
        match = IMAGE.fullmatch(path)
        if match is None or path not in files:
            continue
        depth = depth_path(match[1], int(match[2]))
        camera = camera_path(match[1], int(match[2]))
        for required, path_of_match, noun in (
            (with_depth, depth, "depth"),
            (with_camera, camera, "camera"),
        ):
            if required and path_of_match not in present:
                yield error(
                    f"{noun} missing",
                    path_of_match,
                    f"{path} has no {noun}, others have",
                    f"make it, or remove every {noun}",
                )
    for path in files:
        match = DEPTH.fullmatch(current_path(path)) or CAMERA.fullmatch(path)
        if match and f"images/{match[1]}_view{match[2]}.png" not in files:
            yield warning(
                "no such image",
                path,
                f"goes with images/{match[1]}_view{match[2]}.png, which is not there",
                "remove it, or draw the image",
            )
        match = POINTS.fullmatch(current_path(path))
        if match and points_path(match[2]) not in files:
            yield warning(
                "no such points",
                path,
                f"goes with {points_path(match[2])}, which is not there",
                "remove it, or make the points",
            )
    for part in ("colors", "normals"):
        with_part = [entry for entry in from_names.values() if getattr(entry, part)]
        for entry in from_names.values() if with_part else ():
            if entry.points and not getattr(entry, part):
                yield warning(
                    f"{part} missing",
                    f"{part}/{entry.object_id}.npy",
                    "is not there, though other point clouds have it",
                    "make it, or remove the others",
                )
    sizes = Counter(size for entry in objects.values() for size in entry.voxels)
    for size in sorted(sizes):
        for entry in objects.values():
            if size not in entry.voxels:
                yield warning(
                    "voxels missing",
                    f"voxels/{entry.object_id}_{size}.npz",
                    f"object {entry.object_id!r} has no voxels of {size}^3, others have",
                    f"triform shapes prepare MESHES LIBRARY --voxel_size {size}",
                )


def check_spelling(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """Names that are equal or invalid on some operating systems."""
    spellings: dict[str, str] = {}
    for object_id in objects:
        other = spellings.setdefault(object_id.casefold(), object_id)
        if other != object_id:
            yield warning(
                "names alike",
                f"points/{object_id}.npy",
                f"is the same file as points/{other}.npy where case does not count",
                "rename one of them",
            )
        if re.search(r"[<>:\"|?*\\\x00-\x1f]", object_id):
            yield warning(
                "odd name",
                f"points/{object_id}.npy",
                "has a letter that some operating systems refuse",
                "use letters, digits, - and _",
            )


def _format_list(views: list[int]) -> str:
    listed = ", ".join(map(str, views[:_MAX_VIEWS_LISTED]))
    extra = len(views) - _MAX_VIEWS_LISTED
    return f"{listed} and {extra} more" if extra > 0 else listed
