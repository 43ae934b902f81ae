"""Reading OFF, the format of ModelNet, with the colours that some of its dialects hold."""

from __future__ import annotations

import re

import numpy as np

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.polygons import triangulate

# Many files of ModelNet have the counts on the first line without a space: "OFF490 518 0".
_HEADER = re.compile(rb"\s*(?:ST)?(C?)(N?)OFF")


def read_off(data: bytes) -> Mesh:
    """Read vertices, polygons cut into triangles, and colours of vertices (COFF) or faces.

    Raises:
        MeshError: another file, fewer lines than promised, or a line that is wrong.
    """
    header = _HEADER.match(data)
    if header is None:
        raise MeshError("damaged, or no OFF file: it does not begin with OFF")
    lines = [line.partition(b"#")[0].split() for line in data[header.end() :].splitlines()]
    lines = [line for line in lines if line]
    try:
        num_vertices, num_faces = (int(word) for word in lines[0][:2])
        if min(num_vertices, num_faces) < 0 or num_vertices + num_faces > len(lines) - 1:
            raise ValueError(
                f"it promises {num_vertices} vertices and {num_faces} faces "
                f"but has {len(lines) - 1} lines"
            )
        table = lines[1 : 1 + num_vertices]
        vertices = np.array([line[:3] for line in table], dtype=np.float64)
        after = 6 if header[2] else 3  # normals stand before colours
        colored = header[1] and all(len(line) >= after + 3 for line in table)
        of_vertex = _colors([line[after : after + 3] for line in table]) if colored else None
        corners: list[int] = []
        sizes, colors = [], []
        for line in lines[1 + num_vertices : 1 + num_vertices + num_faces]:
            count = int(line[0])
            if not 0 <= count < len(line):
                raise ValueError(f"a face promises {count} corners and has {len(line) - 1}")
            corners += map(int, line[1 : 1 + count])
            sizes.append(count)
            colors.append(line[1 + count : 4 + count])
        at = np.array(corners, dtype=np.int64)
        triangles, polygon = triangulate(vertices, at, np.array(sizes, dtype=np.int64))
        of_face = None
        if colors and all(len(color) == 3 for color in colors):
            of_face = _colors(colors)[polygon]
    except (ValueError, IndexError, OverflowError) as error:
        raise MeshError(f"damaged OFF file: {error}") from None
    mesh = Mesh(vertices, at[triangles], of_face)
    if of_face is None and of_vertex is not None:
        mean = of_vertex[mesh.faces].mean(axis=1).astype(np.uint8)
        mesh = Mesh(mesh.vertices, mesh.faces, mean)
    return mesh


def _colors(words: list[list[bytes]]) -> np.ndarray:
    """Read colours written as 0 to 255, or, where a point appears, as 0 to 1."""
    fractions = any(b"." in word for row in words for word in row)
    values = np.array(words, dtype=np.float64) * (255 if fractions else 1)
    return np.asarray(np.rint(np.clip(np.nan_to_num(values), 0, 255))).astype(np.uint8)
