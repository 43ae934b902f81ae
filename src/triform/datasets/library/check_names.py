"""Checking a library by the names of its files: what is missing, and what belongs to nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from triform.datasets.library.fields import LARGEST_GRID
from triform.datasets.library.foreign import CAMERA, DEPTH, IMAGE, POINTS, VOXELS
from triform.datasets.library.ids import path_fault
from triform.datasets.library.layout import LibraryObject, camera_path
from triform.datasets.library.problems import Problem, error, warning

_FORMS = {
    "images": ((IMAGE, DEPTH), "ID_view1.png or ID_view1.depth.png"),
    "cameras": ((CAMERA,), "ID_view1.json"),
    "points": ((POINTS,), "ID.npy, ID.colors.npy or ID.normals.npy"),
    "voxels": ((VOXELS,), "ID_64.npz"),
}
_MOST_VIEWS_NAMED = 8


def check_names(
    objects: Mapping[str, LibraryObject],
    named: Mapping[str, LibraryObject],
    files: Mapping[str, int],
) -> Iterator[Problem]:
    """Problems that need no file to be opened.

    Args:
        objects: the objects of the library.
        named: objects by what their files are called.
        files: path -> bytes of every file in its folders.
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
    yield from _check_partners(objects, named, files)


def _check_forms(
    objects: Mapping[str, LibraryObject], files: Mapping[str, int]
) -> Iterator[Problem]:
    listed = {path for entry in objects.values() for path in entry.files}
    for path in files:
        folder = path.partition("/")[0]
        patterns, form = _FORMS[folder]
        match = VOXELS.fullmatch(path)
        if fault := path_fault(path):
            yield error(
                "unsafe name",
                ascii(path)[1:-1],
                f"{fault}, so that nothing reads it",
                "rename it: letters, digits, - and _",
            )
        elif match and not 1 <= int(match[2]) <= LARGEST_GRID:
            yield error(
                "grid size",
                path,
                f"{match[2]}^3 voxels, at most {LARGEST_GRID}^3 are read",
                "write a coarser grid",
            )
        elif path not in listed and not any(pattern.fullmatch(path) for pattern in patterns):
            yield warning(
                "stray file",
                path,
                "belongs to no object by its name",
                f"name it {folder}/{form.replace(', ', f', {folder}/')}",
            )


def _check_empty(files: Mapping[str, int]) -> Iterator[Problem]:
    for path, size in files.items():
        if size == 0:
            yield error("empty file", path, "has no bytes", "make or copy it again")


def _check_parts(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """Pictures and clouds: where some objects have them, all should."""
    for folder, name, what, count in (
        ("images", "_view1.png", "picture", lambda entry: len(entry.images)),
        ("points", ".npy", "point cloud", lambda entry: int(entry.points is not None)),
    ):
        without = [object_id for object_id, entry in objects.items() if not count(entry)]
        if len(without) == len(objects):
            yield warning(
                f"no {what}s",
                folder,
                f"no object has a {what}",
                f"make them with `triform shapes prepare`, or name them {folder}/ID{name}",
            )
            continue
        for object_id in without:
            yield error(
                f"{what} missing",
                f"{folder}/{object_id}{name}",
                f"object {object_id!r} has no {what}",
                "make it, or remove the object",
            )


def _check_views(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """The views that most objects have are what every object should have."""
    views = {
        object_id: numbers
        for object_id, entry in objects.items()
        if (numbers := view_numbers(entry)) is not None
    }
    if not views:
        return
    usual = Counter(views.values()).most_common(1)[0][0]
    if usual and sorted(usual) != list(range(min(usual), min(usual) + len(usual))):
        yield warning(
            "views not counted through",
            "images",
            f"the views of most objects are {_list(sorted(usual))}",
            "number them 1, 2, 3, ...",
        )
    for object_id, numbers in views.items():
        missing, more = sorted(usual - numbers), sorted(numbers - usual)
        if missing and numbers:
            yield error(
                "views missing",
                f"images/{object_id}_view{missing[0]}.png",
                f"object {object_id!r} lacks views {_list(missing)}, which others have",
                "draw them, or remove the object",
            )
        if more and usual:
            yield warning(
                "more views",
                f"images/{object_id}_view{more[0]}.png",
                f"object {object_id!r} has views {_list(more)}, which most others have not",
                "no harm where views are drawn by number",
            )


def view_numbers(entry: LibraryObject) -> frozenset[int] | None:
    """The numbers of an object's views; None where its pictures are not named by them."""
    matches = [IMAGE.fullmatch(path) for path in entry.images]
    if not all(matches):
        return None
    return frozenset(int(match[2]) for match in matches if match)


def _check_partners(
    objects: Mapping[str, LibraryObject],
    named: Mapping[str, LibraryObject],
    files: Mapping[str, int],
) -> Iterator[Problem]:
    """What goes with pictures and clouds: none at all is fine, some and not others is not."""
    with_depth = any(DEPTH.fullmatch(path) for path in files)
    with_camera = any(CAMERA.fullmatch(path) for path in files)
    pictures = {path for entry in objects.values() for path in entry.images}
    for path in sorted(pictures):
        match = IMAGE.fullmatch(path)
        if match is None or path not in files:
            continue
        depth, camera = (
            path.removesuffix(".png") + ".depth.png",
            camera_path(match[1], int(match[2])),
        )
        for wanted, partner, what in (
            (with_depth, depth, "depth"),
            (with_camera, camera, "camera"),
        ):
            if wanted and partner not in files:
                yield error(
                    f"{what} missing",
                    partner,
                    f"{path} has no {what}, others have",
                    f"make it, or remove every {what}",
                )
    for path in files:
        match = DEPTH.fullmatch(path) or CAMERA.fullmatch(path)
        if match and f"images/{match[1]}_view{match[2]}.png" not in files:
            yield warning(
                "no such picture",
                path,
                f"goes with images/{match[1]}_view{match[2]}.png, which is not there",
                "remove it, or draw the picture",
            )
        match = POINTS.fullmatch(path)
        if match and match[2] and f"points/{match[1]}.npy" not in files:
            yield warning(
                "no such cloud",
                path,
                f"goes with points/{match[1]}.npy, which is not there",
                "remove it, or make the cloud",
            )
    for part in ("colors", "normals"):
        there = [entry for entry in named.values() if getattr(entry, part)]
        for entry in named.values() if there else ():
            if entry.points and not getattr(entry, part):
                yield warning(
                    f"{part} missing",
                    f"points/{entry.object_id}.{part}.npy",
                    "is not there, though other clouds have it",
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


def check_letters(objects: Mapping[str, LibraryObject]) -> Iterator[Problem]:
    """Names that only some systems tell apart."""
    seen: dict[str, str] = {}
    for object_id in objects:
        other = seen.setdefault(object_id.casefold(), object_id)
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
                "has a letter that some systems refuse",
                "use letters, digits, - and _",
            )


def _list(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST_VIEWS_NAMED]))
    more = len(numbers) - _MOST_VIEWS_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
