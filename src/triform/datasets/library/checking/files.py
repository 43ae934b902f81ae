"""Checks of the files of one object, each alone and against the others."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library.checking.geometry import GeometryChecks
from triform.datasets.library.checking.problems import PREPARE, Problem, error, warning
from triform.datasets.library.decoding import (
    array_header,
    decode_array,
    decode_camera,
    decode_depth,
    decode_voxels,
    open_image,
)
from triform.datasets.library.foreign import IMAGE
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.store import Store
from triform.geometry.render.cameras import Camera

_HEAD_BYTES = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
# Meaning of the color type in a PNG header.
_COLOR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_MAX_COORDINATE = 0.5 + 1e-3
_POINTS_HINT = "write (N, 3) float32"


@dataclasses.dataclass
class FileContents:
    """Problems and sizes of the files of one object.

    Attributes:
        problems: of all files.
        sizes: pixels (width, height) of each image.
        points: shape of the stored point cloud, or None.
    """

    problems: list[Problem] = dataclasses.field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    points: tuple[int, ...] | None = None


def check_object(
    store: Store, entry: LibraryObject, present: frozenset[str], quick: bool
) -> FileContents:
    """Check the files of one object.

    Args:
        store: the library's files.
        entry: the object.
        present: its files that exist and are not empty.
        quick: check headers only.
    """
    return _ObjectCheck(store, present, quick).run(entry)


class _ObjectCheck:
    """Checks of one object; every method adds to `contents`."""

    def __init__(self, store: Store, present: frozenset[str], quick: bool) -> None:
        self.store, self.present, self.quick = store, present, quick
        self.contents = FileContents()

    def run(self, entry: LibraryObject) -> FileContents:
        points = self._points(entry)
        geometry = GeometryChecks(points)
        for path in entry.images:
            self._view(path, geometry)
        for size, path in sorted(entry.voxels.items()):
            voxels = self._voxels(path, size)
            if voxels is not None:
                self.contents.problems.extend(geometry.check_voxels(path, voxels))
        return self.contents

    def _add_error(self, kind: str, path: str, problem: str, remedy: str) -> None:
        self.contents.problems.append(error(kind, path, problem, remedy))

    def _add_warning(self, kind: str, path: str, problem: str, remedy: str) -> None:
        self.contents.problems.append(warning(kind, path, problem, remedy))

    def _add_damage(self, kind: str, path: str, problem: UserError, remedy: str = PREPARE) -> None:
        self._add_error(kind, path, str(problem).removeprefix(f"{path}: "), remedy)

    def _read(self, path: str | None) -> bytes | None:
        """Content of a file or its first bytes; None if it is missing (reported elsewhere)."""
        if path is None or path not in self.present:
            return None
        try:
            if self.quick:
                return self.store.read_head(path, _HEAD_BYTES)
            return self.store.read_bytes(path)
        except (OSError, UserError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else None
            self._add_error(
                "unreadable",
                path,
                f"cannot be read ({reason or problem})",
                "check its permissions, or copy it again",
            )
            return None

    def _view(self, path: str, geometry: GeometryChecks) -> None:
        """One image with its depth and its camera."""
        image = self._image(path)
        match = IMAGE.fullmatch(path)
        stem = f"{match[1]}_view{match[2]}" if match else ""
        depth_of_image = f"depth/{stem}.png"
        if depth_of_image not in self.present:
            depth_of_image = f"images/{stem}.depth.png"  # version 0
        depth = self._depth(depth_of_image, path) if stem else None
        camera = self._camera(f"cameras/{stem}.json") if stem else None
        if camera is not None:
            self.contents.problems.extend(geometry.check_camera(f"cameras/{stem}.json", camera))
        if image is not None:
            self.contents.problems.extend(
                geometry.check_view(path, depth_of_image, image, depth, camera)
            )

    def _image(self, path: str) -> np.ndarray | None:
        """RGBA of an image, or None."""
        data = self._read(path)
        if data is None:
            return None
        if data[:8] != _PNG or data[12:16] != b"IHDR" or len(data) < 26:
            self._add_error("no PNG", path, "is not a PNG image", "save it as PNG with alpha")
            return None
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        self.contents.sizes[path] = (width, height)
        color = _COLOR_TYPES.get(data[25], str(data[25]))
        if data[25] not in (4, 6) and b"tRNS" not in data[:_HEAD_BYTES]:
            self._add_warning(
                "no alpha",
                path,
                f"is {color}, without transparency: object and background cannot be separated",
                "save it as RGBA",
            )
        if self.quick:
            return None
        try:
            image = np.asarray(open_image(data, path))
        except Exception as problem:  # Pillow raises many kinds
            self._add_error(
                "damaged image", path, f"cannot be decoded ({problem})", "draw it again"
            )
            return None
        if not image[..., 3].any():
            self._add_warning("blank image", path, "shows nothing: alpha is 0", PREPARE)
        elif not image[..., :3][image[..., 3] > 0].any():
            self._add_warning(
                "black image",
                path,
                "shows nothing but black",
                "check whether the object is black, or its colours were lost",
            )
        return image

    def _depth(self, path: str, image: str) -> np.ndarray | None:
        data = self._read(path)
        if data is None:
            return None
        if data[:8] != _PNG or len(data) < 26 or data[24] != 16 or data[25] != 0:
            self._add_error(
                "depth form",
                path,
                "is not a 16-bit grey PNG",
                "write depth * 65536 / 5 as 16-bit grey, 65535 for the background",
            )
            return None
        size = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
        expected = self.contents.sizes.get(image, size)
        if size != expected:
            self._add_error(
                "depth size",
                path,
                f"has {size[0]} x {size[1]} pixels, its image {expected[0]} x {expected[1]}",
                "draw both at the same size",
            )
            return None
        if self.quick:
            return None
        try:
            return decode_depth(data, path)
        except UserError as problem:
            self._add_damage("depth damaged", path, problem)
            return None

    def _camera(self, path: str) -> Camera | None:
        data = self._read(path)
        if data is None:
            return None
        try:
            return decode_camera(data, path)
        except UserError as problem:
            remedy = "write origin, x (right), y (down), z (into the scene), fov in radians"
            self._add_damage("camera", path, problem, remedy)
            return None

    def _points(self, entry: LibraryObject) -> np.ndarray | None:
        """Point cloud, (N, 3), or None."""
        path = entry.points
        shape = self._header(path, "points")
        if path is None or shape is None:
            return None
        if len(shape) != 2 or 3 not in shape:
            hint = _POINTS_HINT
            if len(shape) == 2 and 6 in shape:
                hint = "keep x, y, z here and the colours in colors/ID.npy, uint8"
            self._add_error(
                "points shape", path, f"has shape {shape}, expected (N, 3) or (3, N)", hint
            )
            return None
        self.contents.points = shape
        count = shape[1] if shape[0] == 3 and shape[1] != 3 else shape[0]
        if count == 0:
            self._add_error("points empty", path, "holds no points", PREPARE)
            return None
        for dependent, noun in ((entry.colors, "colours"), (entry.normals, "normals")):
            self._dependent_array(dependent, noun, count)
        values = self._array(path)
        if values is None:
            return None
        values = values.T if values.shape[1] != 3 else values
        num_bad = int((~np.isfinite(values)).any(axis=1).sum())
        if num_bad:
            self._add_error(
                "points NaN", path, f"{num_bad} of {count} points are NaN or infinite", PREPARE
            )
            return None
        extent = float(np.abs(values).max())
        if extent > _MAX_COORDINATE:
            self._add_warning(
                "points scale",
                path,
                f"reaches to {extent:.4g}",
                "scale objects into [-1/2, 1/2]^3, longest side 1",
            )
        if (values == values[0]).all() and count > 1:
            self._add_error("points equal", path, f"all {count} points are the same", PREPARE)
        return np.asarray(values, dtype=np.float64)

    def _dependent_array(self, path: str | None, noun: str, count: int) -> None:
        """Check the colours or normals of a point cloud."""
        shape = self._header(path, noun)
        if path is None or shape is None:
            return
        if shape not in ((count, 3), (3, count)):
            self._add_error(
                f"{noun} shape",
                path,
                f"has shape {shape}, but there are {count} points",
                f"write ({count}, 3)",
            )
            return
        values = self._array(path)
        if values is None:
            return
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self._add_error(f"{noun} NaN", path, "holds NaN or infinity", PREPARE)
        elif (
            noun == "colours"
            and values.dtype.kind == "f"
            and not 0 <= values.min() <= values.max() <= 1
        ):
            self._add_error(
                "colours range",
                path,
                f"runs from {values.min():.4g} to {values.max():.4g}",
                "write uint8, or floats from 0 to 1",
            )

    def _header(self, path: str | None, noun: str) -> tuple[int, ...] | None:
        """Shape of an array, or None if its type cannot be used."""
        data = None
        if path is not None and path in self.present:
            try:
                data = self.store.read_head(path, _HEAD_BYTES)
            except (OSError, UserError):
                data = self._read(path)
        if path is None or data is None:
            return None
        try:
            dtype, shape, _, _ = array_header(data)
        except ValueError as problem:
            self._add_error(f"{noun} form", path, str(problem), f"{_POINTS_HINT} with numpy.save")
            return None
        if noun == "colours" and dtype == np.uint8:
            return shape
        if dtype.kind != "f":
            expected = "uint8" if noun == "colours" else "float32"
            self._add_error(
                f"{noun} type", path, f"holds {dtype}, expected {expected}", f"write {expected}"
            )
            return None
        if dtype != np.float32 or not dtype.isnative:
            self._add_warning(
                f"{noun} type",
                path,
                f"holds {dtype}, read as float32",
                "write float32 to halve the reading" if dtype.itemsize > 4 else _POINTS_HINT,
            )
        return shape

    def _array(self, path: str) -> np.ndarray | None:
        if self.quick:
            return None
        data = self._read(path)
        try:
            return None if data is None else decode_array(data, path)
        except UserError as problem:
            self._add_damage("array damaged", path, problem)
            return None

    def _voxels(self, path: str, size: int) -> np.ndarray | None:
        data = self._read(path)
        if data is None:
            return None
        if data[:2] != b"PK":
            self._add_error("voxels", path, "is not an npz archive", PREPARE)
            return None
        if self.quick:
            return None
        try:
            voxels = decode_voxels(data, path, size)
        except UserError as problem:
            self._add_damage("voxels", path, problem)
            return None
        if not voxels.any():
            self._add_error("voxels empty", path, "no voxel is occupied", PREPARE)
            return None
        return voxels


def check_uniformity(contents: Mapping[str, FileContents]) -> Iterator[Problem]:
    """Compare the sizes of images and point clouds between objects.

    Args:
        contents: object id -> result of `check_object`.
    """
    sizes = Counter(
        size for object_contents in contents.values() for size in object_contents.sizes.values()
    )
    if sizes:
        typical = sizes.most_common(1)[0][0]
        for object_contents in contents.values():
            for path, size in object_contents.sizes.items():
                if size != typical:
                    yield error(
                        "image size",
                        path,
                        f"has {size[0]} x {size[1]} pixels, most have {typical[0]} x {typical[1]}",
                        "draw all at one size",
                    )
        if typical[0] != typical[1]:
            yield error(
                "not square",
                "images",
                f"images have {typical[0]} x {typical[1]} pixels",
                "draw them square: cameras have one angle of view",
            )
    shapes = {
        name: object_contents.points
        for name, object_contents in contents.items()
        if object_contents.points
    }
    counts = Counter(max(shape) for shape in shapes.values())
    if counts:
        typical_count = counts.most_common(1)[0][0]
        for name, shape in shapes.items():
            if max(shape) != typical_count:
                yield warning(
                    "points number",
                    f"points/{name}.npy",
                    f"holds {max(shape)} points, most hold {typical_count}",
                    "ask for no more points than the smallest point cloud has",
                )
    transposed = [name for name, shape in shapes.items() if shape[0] == 3 and shape[1] != 3]
    if transposed:
        yield warning(
            "points transposed",
            "points",
            f"{len(transposed)} of {len(shapes)} point clouds are (3, N), "
            f"the first {transposed[0]}.npy",
            "they are read as (N, 3); nothing has to be done",
        )
