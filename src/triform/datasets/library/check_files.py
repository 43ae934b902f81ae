"""Checking what is in the files of one object, each by itself and each against the others."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library.check_space import SpaceChecks
from triform.datasets.library.decoding import (
    array_header,
    decode_array,
    decode_camera,
    decode_depth,
    decode_voxels,
    open_picture,
)
from triform.datasets.library.foreign import IMAGE
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.problems import PREPARE, Problem, error, warning
from triform.datasets.library.store import Store
from triform.geometry.cameras import Camera

_HEAD_BYTES = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
# What the color type of a PNG's header means.
_COLOR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_NORMALIZED = 0.5 + 1e-3
_CLOUD = "write (N, 3) float32"


@dataclasses.dataclass
class Found:
    """What the files of one object hold.

    Attributes:
        problems: what is wrong with them.
        sizes: pixels (width, height) of each picture.
        points: shape of the cloud as it is stored, or None.
    """

    problems: list[Problem] = dataclasses.field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    points: tuple[int, ...] | None = None


def check_object(store: Store, entry: LibraryObject, there: frozenset[str], quick: bool) -> Found:
    """Open the files of one object.

    Args:
        store: where they are.
        entry: the object.
        there: those of its files that are there and hold anything.
        quick: look at the first bytes of each only.
    """
    return _Check(store, there, quick).run(entry)


class _Check:
    """The checks of one object; every method adds to `found`."""

    def __init__(self, store: Store, there: frozenset[str], quick: bool) -> None:
        self.store, self.there, self.quick = store, there, quick
        self.found = Found()

    def run(self, entry: LibraryObject) -> Found:
        points = self._points(entry)
        space = SpaceChecks(points)
        for path in entry.images:
            self._view(path, space)
        for size, path in sorted(entry.voxels.items()):
            grid = self._voxels(path, size)
            if grid is not None:
                self.found.problems.extend(space.check_voxels(path, grid))
        return self.found

    def _error(self, kind: str, path: str, problem: str, remedy: str) -> None:
        self.found.problems.append(error(kind, path, problem, remedy))

    def _warning(self, kind: str, path: str, problem: str, remedy: str) -> None:
        self.found.problems.append(warning(kind, path, problem, remedy))

    def _damage(self, kind: str, path: str, problem: UserError, remedy: str = PREPARE) -> None:
        self._error(kind, path, str(problem).removeprefix(f"{path}: "), remedy)

    def _read(self, path: str | None) -> bytes | None:
        """A file, or only its first bytes; None where it is missing, which is said elsewhere."""
        if path is None or path not in self.there:
            return None
        try:
            if self.quick:
                return self.store.read_head(path, _HEAD_BYTES)
            return self.store.read_bytes(path)
        except (OSError, UserError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else None
            self._error(
                "unreadable",
                path,
                f"cannot be read ({reason or problem})",
                "see to its rights, or copy it again",
            )
            return None

    def _view(self, path: str, space: SpaceChecks) -> None:
        """One picture with its depth and its camera."""
        picture = self._picture(path)
        match = IMAGE.fullmatch(path)
        stem = f"{match[1]}_view{match[2]}" if match else ""
        depth = self._depth(f"images/{stem}.depth.png", path) if stem else None
        camera = self._camera(f"cameras/{stem}.json") if stem else None
        if camera is not None:
            self.found.problems.extend(space.check_camera(f"cameras/{stem}.json", camera))
        if picture is not None:
            self.found.problems.extend(
                space.check_view(path, f"images/{stem}.depth.png", picture, depth, camera)
            )

    def _picture(self, path: str) -> np.ndarray | None:
        """A picture as RGBA, where its alpha says anything."""
        data = self._read(path)
        if data is None:
            return None
        if data[:8] != _PNG or data[12:16] != b"IHDR" or len(data) < 26:
            self._error("no PNG", path, "is no PNG picture", "save it as PNG with alpha")
            return None
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        self.found.sizes[path] = (width, height)
        color = _COLOR_TYPES.get(data[25], str(data[25]))
        if data[25] not in (4, 6) and b"tRNS" not in data[:_HEAD_BYTES]:
            self._warning(
                "no alpha",
                path,
                f"is {color}, without transparency: what is object and what "
                "is background cannot be told",
                "save it as RGBA",
            )
        if self.quick:
            return None
        try:
            picture = np.asarray(open_picture(data, path))
        except Exception as problem:  # damaged pictures fail anywhere in there
            self._error("damaged picture", path, f"cannot be decoded ({problem})", "draw it again")
            return None
        if not picture[..., 3].any():
            self._warning("blank picture", path, "shows nothing: alpha is 0", PREPARE)
        elif not picture[..., :3][picture[..., 3] > 0].any():
            self._warning(
                "black picture",
                path,
                "shows nothing but black",
                "see whether the thing is black, or its colours were lost",
            )
        return picture

    def _depth(self, path: str, image: str) -> np.ndarray | None:
        data = self._read(path)
        if data is None:
            return None
        if data[:8] != _PNG or len(data) < 26 or data[24] != 16 or data[25] != 0:
            self._error(
                "depth form",
                path,
                "is no 16-bit grey PNG",
                "write depth * 65536 / 5 as 16-bit grey, 65535 where nothing is",
            )
            return None
        size = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
        expected = self.found.sizes.get(image, size)
        if size != expected:
            self._error(
                "depth size",
                path,
                f"has {size[0]} x {size[1]} pixels, its picture {expected[0]} x {expected[1]}",
                "draw both at the same size",
            )
            return None
        if self.quick:
            return None
        try:
            return decode_depth(data, path)
        except UserError as problem:
            self._damage("depth damaged", path, problem)
            return None

    def _camera(self, path: str) -> Camera | None:
        data = self._read(path)
        if data is None:
            return None
        try:
            return decode_camera(data, path)
        except UserError as problem:
            remedy = "write origin, x (right), y (down), z (into the scene), fov in radians"
            self._damage("camera", path, problem, remedy)
            return None

    def _points(self, entry: LibraryObject) -> np.ndarray | None:
        """The cloud as (N, 3), if it is one."""
        path = entry.points
        shape = self._header(path, "cloud")
        if path is None or shape is None:
            return None
        if len(shape) != 2 or 3 not in shape:
            hint = _CLOUD
            if len(shape) == 2 and 6 in shape:
                hint = "keep x, y, z here and the colours in ID.colors.npy, uint8"
            self._error("cloud shape", path, f"has shape {shape}, expected (N, 3) or (3, N)", hint)
            return None
        self.found.points = shape
        count = shape[1] if shape[0] == 3 and shape[1] != 3 else shape[0]
        if count == 0:
            self._error("cloud empty", path, "holds no points", PREPARE)
            return None
        for beside, what in ((entry.colors, "colours"), (entry.normals, "normals")):
            self._beside(beside, what, count)
        values = self._array(path)
        if values is None:
            return None
        values = values.T if values.shape[1] != 3 else values
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        if bad:
            self._error("cloud NaN", path, f"{bad} of {count} points are NaN or infinite", PREPARE)
            return None
        reach = float(np.abs(values).max())
        if reach > _NORMALIZED:
            self._warning(
                "cloud scale",
                path,
                f"reaches to {reach:.4g}",
                "scale objects into [-1/2, 1/2]^3, longest side 1",
            )
        if (values == values[0]).all() and count > 1:
            self._error("cloud flat", path, f"all {count} points are the same", PREPARE)
        return np.asarray(values, dtype=np.float64)

    def _beside(self, path: str | None, what: str, count: int) -> None:
        """Colours or normals of a cloud."""
        shape = self._header(path, what)
        if path is None or shape is None:
            return
        if shape not in ((count, 3), (3, count)):
            self._error(
                f"{what} shape",
                path,
                f"has shape {shape}, but there are {count} points",
                f"write ({count}, 3)",
            )
            return
        values = self._array(path)
        if values is None:
            return
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self._error(f"{what} NaN", path, "holds NaN or infinity", PREPARE)
        elif (
            what == "colours"
            and values.dtype.kind == "f"
            and not 0 <= values.min() <= values.max() <= 1
        ):
            self._error(
                "colours range",
                path,
                f"runs from {values.min():.4g} to {values.max():.4g}",
                "write uint8, or floats from 0 to 1",
            )

    def _header(self, path: str | None, what: str) -> tuple[int, ...] | None:
        """The shape of an array, if its numbers are of a kind that can be used."""
        data = None
        if path is not None and path in self.there:
            try:
                data = self.store.read_head(path, _HEAD_BYTES)
            except (OSError, UserError):
                data = self._read(path)
        if path is None or data is None:
            return None
        try:
            dtype, shape, _, _ = array_header(data)
        except ValueError as problem:
            self._error(f"{what} form", path, str(problem), f"{_CLOUD} with numpy.save")
            return None
        if what == "colours" and dtype == np.uint8:
            return shape
        if dtype.kind != "f":
            wanted = "uint8" if what == "colours" else "float32"
            self._error(
                f"{what} type", path, f"holds {dtype}, expected {wanted}", f"write {wanted}"
            )
            return None
        if dtype != np.float32 or not dtype.isnative:
            self._warning(
                f"{what} type",
                path,
                f"holds {dtype}, read as float32",
                "write float32 to halve the reading" if dtype.itemsize > 4 else _CLOUD,
            )
        return shape

    def _array(self, path: str) -> np.ndarray | None:
        if self.quick:
            return None
        data = self._read(path)
        try:
            return None if data is None else decode_array(data, path)
        except UserError as problem:
            self._damage("array damaged", path, problem)
            return None

    def _voxels(self, path: str, size: int) -> np.ndarray | None:
        data = self._read(path)
        if data is None:
            return None
        if data[:2] != b"PK":
            self._error("voxels", path, "is no npz archive", PREPARE)
            return None
        if self.quick:
            return None
        try:
            grid = decode_voxels(data, path, size)
        except UserError as problem:
            self._damage("voxels", path, problem)
            return None
        if not grid.any():
            self._error("voxels empty", path, "no voxel is taken", PREPARE)
            return None
        return grid


def check_usual(found: Mapping[str, Found]) -> Iterator[Problem]:
    """What only shows when all objects are compared: sizes of pictures and of clouds.

    Args:
        found: object id -> what its files hold.
    """
    sizes = Counter(size for one in found.values() for size in one.sizes.values())
    if sizes:
        usual = sizes.most_common(1)[0][0]
        for one in found.values():
            for path, size in one.sizes.items():
                if size != usual:
                    yield error(
                        "picture size",
                        path,
                        f"has {size[0]} x {size[1]} pixels, most have {usual[0]} x {usual[1]}",
                        "draw all at one size",
                    )
        if usual[0] != usual[1]:
            yield error(
                "not square",
                "images",
                f"pictures have {usual[0]} x {usual[1]} pixels",
                "draw them square: cameras have one angle of view",
            )
    shapes = {name: one.points for name, one in found.items() if one.points}
    counts = Counter(max(shape) for shape in shapes.values())
    if counts:
        usual_count = counts.most_common(1)[0][0]
        for name, shape in shapes.items():
            if max(shape) != usual_count:
                yield warning(
                    "cloud size",
                    f"points/{name}.npy",
                    f"holds {max(shape)} points, most hold {usual_count}",
                    "ask for no more points than the smallest cloud has",
                )
    turned = [name for name, shape in shapes.items() if shape[0] == 3 and shape[1] != 3]
    if turned:
        yield warning(
            "cloud turned",
            "points",
            f"{len(turned)} of {len(shapes)} clouds are (3, N), the first {turned[0]}.npy",
            "they are read as (N, 3); nothing has to be done",
        )
