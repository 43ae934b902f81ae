"""Reading of PLY, text or binary, with colours of vertices or faces and textures.

Our own reader, because the available ones drop strips, and colours of polygons, or stop at words in
comments.
"""

from __future__ import annotations

import numpy as np

from triform.base.printable import printable
from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED
from triform.geometry.io.parts import (
    LeftOut,
    appearance_of_corners,
    colored_mesh,
    strip_triangles,
    without_mark,
)
from triform.geometry.io.ply.elements import Element, read_body, read_header
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.mesh import Mesh, MeshError

_INDEX_NAMES = ("vertex_indices", "vertex_index", "vertex_indexes", "indices")
_COLOR_NAMES = (
    ("red", "green", "blue", "alpha"),
    ("r", "g", "b", "a"),
    ("diffuse_red", "diffuse_green", "diffuse_blue", "diffuse_alpha"),
)
_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_FACE_ELEMENTS = ("face", "faces", "polygon", "tristrips", "tristrip")
_WHITE = np.full(3, 255, dtype=np.uint8)


def read_ply(data: bytes, find: FileFinder, *, name: str = "model") -> Mesh:
    """Read vertices, triangulated polygons and strips.

    Args:
        data: content of the file.
        find: returns the content of its textures, or None.
        name: name of the model in warnings.

    Raises:
        MeshError: damaged, cut off, or without faces.
    """
    data, left_out = without_mark(data), LeftOut()
    elements, kind, texture_names, start = read_header(data)
    num_behind = read_body(data, start, elements, kind)
    left_out.add(
        "value{s} behind the data" if kind == "ascii" else "byte{s} behind the data", num_behind
    )
    vertex = _find(elements, ("vertex", "vertices", "point"))
    faces = [each for each in elements if each.name in _FACE_ELEMENTS and each.count]
    if vertex is None or not vertex.count:
        raise left_out.no_faces("it holds no vertices")
    axes = [vertex.column(axis) for axis in "xyz"]
    if any(axis is None for axis in axes):
        raise MeshError("damaged: its vertices have no x, y and z")
    vertices = np.stack([np.asarray(axis, dtype=np.float64) for axis in axes], axis=1)
    for element in elements:
        if element.name == "edge":
            left_out.add("edge{s}", element.count)
        elif element.name not in _FACE_ELEMENTS and element.list_column(*_INDEX_NAMES) is not None:
            left_out.add(f"of {printable(element.name)}, which is no known element", element.count)
    textures = Textures(find, name)
    images = [textures.get(each) for each in texture_names]
    parts = [_triangles(element, vertices, left_out) for element in faces]
    if not sum(len(corners) for corners, *_ in parts):
        others = f", {left_out}" if left_out.counts else ""
        raise MeshError(
            f"there are no faces in it: it is a point cloud of {vertex.count} points{others}"
        )
    triangles = np.concatenate([corners for corners, *_ in parts])
    appearance = _appearance(vertex, parts, triangles, images)
    textures.report_problems()
    left_out.warn(name)
    return colored_mesh(vertices, triangles, appearance)


def _find(elements: list[Element], names: tuple[str, ...]) -> Element | None:
    return next((element for element in elements if element.name in names), None)


def _triangles(
    element: Element, vertices: np.ndarray, left_out: LeftOut
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Element]:
    """Return triangles (T, 3), the row of each, and the positions of its corners in the list."""
    index = element.list_column(*_INDEX_NAMES)
    if index is None:
        lists = [column for column in element.columns if column.count_dtype]
        index = next((column for column in lists if "tex" not in column.name), None)
    if index is None:
        left_out.add(f"{element.name} without a list of vertices", element.count)
        none = np.empty((0, 3), dtype=np.int64)
        return none, none[:, 0], none, element
    corners = index.values
    if corners.dtype.kind == "f" and not np.array_equal(corners, np.rint(corners)):
        raise MeshError("damaged: indices of vertices are no integers")
    with np.errstate(invalid="ignore"):
        corners = corners.astype(np.int64)
    if element.name.startswith("tristrip"):
        # Each row is a strip of its own, ended as within a row by -1.
        ends = np.cumsum(index.counts)
        if index.declared in ("u1", "u2", "u4"):  # where it is the largest number of the type
            corners[corners == np.iinfo(index.declared).max] = -1
        corners = np.insert(corners, ends, -1)
        triangles = strip_triangles(corners, restart=-1)
        if len(triangles) and triangles.max() >= len(vertices):
            raise MeshError(f"strips use vertex {triangles.max()}, but there are {len(vertices)}")
        return triangles, np.zeros(len(triangles), np.int64), triangles, element
    left_out.add("face{s} of fewer than three corners", int((index.counts < 3).sum()))
    positions, row = triangulate(vertices, corners, index.counts)
    return corners[positions], row, positions, element


def _appearance(
    vertex: Element,
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, Element]],
    triangles: np.ndarray,
    images: list[np.ndarray | None],
) -> Appearance | None:
    """Return the colours of faces, a texture, or the colours of vertices, or None."""
    textured = _textured(vertex, parts, triangles, images)
    vertex_colors = _colors(vertex)
    if textured is not None:
        return textured
    if any(_colors(element) is not None for *_, element in parts):
        groups = []
        for corners, row, _, element in parts:
            colors = _colors(element)
            if colors is None:
                fallback = np.full((vertex.count, 4), (*UNCOLORED, 255), np.uint8)
                of_corners = (fallback if vertex_colors is None else vertex_colors)[corners]
            else:
                of_corners = np.repeat(colors[row][:, None], 3, axis=1)
            groups.append(of_corners)
        return appearance_of_corners(np.concatenate(groups))
    return None if vertex_colors is None else appearance_of_corners(vertex_colors[triangles])


def _textured(
    vertex: Element,
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, Element]],
    triangles: np.ndarray,
    images: list[np.ndarray | None],
) -> Appearance | None:
    if all(image is None for image in images):
        return None
    pair = next((pair for pair in _UV_NAMES if vertex.column(*pair[:1]) is not None), None)
    numbers = np.zeros(len(triangles), dtype=np.int64)
    coordinates = None
    if pair is not None and (v := vertex.column(pair[1])) is not None:
        u = vertex.column(pair[0])
        coordinates = np.stack([np.asarray(u), v], axis=1).astype(np.float64)[triangles]
    if len(parts) == 1:
        _, row, positions, element = parts[0]
        wedge = element.list_column("texcoord", "texcoords", "texture_uv")
        index = element.list_column(*_INDEX_NAMES)
        if wedge is not None and index is not None and np.all(wedge.counts == 2 * index.counts):
            coordinates = wedge.values.astype(np.float64).reshape(-1, 2)[positions]
        number = element.column("texnumber")
        if number is not None:
            numbers = np.clip(number.astype(np.int64)[row], 0, len(images) - 1)
    if coordinates is None:
        return None
    materials = tuple(Material(_WHITE, image) for image in images)
    return Appearance(numbers, materials, coordinates)


def _colors(element: Element) -> np.ndarray | None:
    """Return (N, 4) uint8 colours of the rows of an element, or None."""
    columns = {column.name: column for column in element.columns if not column.count_dtype}
    for names in _COLOR_NAMES:
        if not set(names[:3]) <= set(columns):
            continue
        rgba = np.full((element.count, 4), 255, dtype=np.uint8)
        for number, name in enumerate(names):
            if name in columns:
                values = np.nan_to_num(np.asarray(columns[name].values, dtype=np.float64))
                declared = np.dtype(columns[name].declared)
                if declared.kind == "f":
                    scale = 255.0 if values.max(initial=0) <= 1 else 1.0
                else:
                    scale = 255 / 65535 if values.max(initial=0) > 255 else 1.0
                rgba[:, number] = np.rint(np.clip(values * scale, 0, 255))
        return rgba
    return None
