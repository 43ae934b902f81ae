"""Reading OFF, the format of ModelNet, with the colours that some of its dialects hold."""

from __future__ import annotations

import re
from array import array
from itertools import islice

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
    # Split one at a time: millions of lines of small words would fill the memory.
    lines = data[header.end() :].splitlines()
    rows = (row for line in lines if (row := line.partition(b"#")[0].split()))
    after = 6 if header[2] else 3  # normals stand before colours
    positions, corners, sizes = array("d"), array("q"), array("q")
    of_vertices: list[list[bytes]] | None = [] if header[1] else None
    of_faces: list[list[bytes]] | None = []
    read = 0
    try:
        num_vertices, num_faces = (int(word) for word in next(rows, [b""])[:2])
        if min(num_vertices, num_faces) < 0:
            raise ValueError(f"it promises {num_vertices} vertices and {num_faces} faces")
        for row in islice(rows, num_vertices):
            if len(row) < 3:
                raise ValueError(f"a vertex has {len(row)} coordinates, it needs 3")
            positions.extend(map(float, row[:3]))
            of_vertices = _add(of_vertices, row[after : after + 3])
            read += 1
        for row in islice(rows, num_faces):
            count = int(row[0])
            if not 0 <= count < len(row):
                raise ValueError(f"a face promises {count} corners and has {len(row) - 1}")
            corners.extend(map(int, row[1 : 1 + count]))
            sizes.append(count)
            of_faces = _add(of_faces, row[1 + count : 4 + count])
            read += 1
        if read < num_vertices + num_faces:
            raise ValueError(
                f"it promises {num_vertices} vertices and {num_faces} faces but has {read} lines"
            )
        vertices = np.array(positions).reshape(-1, 3)
        at = np.array(corners, dtype=np.int64)
        triangles, polygon = triangulate(vertices, at, np.array(sizes, dtype=np.int64))
        of_vertex = _colors(of_vertices) if of_vertices else None
        of_face = _colors(of_faces)[polygon] if of_faces else None
    except (ValueError, IndexError, OverflowError) as error:
        raise MeshError(f"damaged OFF file: {error}") from None
    mesh = Mesh(vertices, at[triangles], of_face)
    if of_face is None and of_vertex is not None:
        mean = of_vertex[mesh.faces].mean(axis=1).astype(np.uint8)
        mesh = Mesh(mesh.vertices, mesh.faces, mean)
    return mesh


def _add(table: list[list[bytes]] | None, color: list[bytes]) -> list[list[bytes]] | None:
    """Add a colour to a table of colours, which is none once one is missing."""
    if table is None or len(color) != 3:
        return None
    table.append(color)
    return table


def _colors(words: list[list[bytes]]) -> np.ndarray:
    """Read colours written as 0 to 255, or, where a point appears, as 0 to 1."""
    fractions = any(b"." in word for row in words for word in row)
    values = np.array(words, dtype=np.float64) * (255 if fractions else 1)
    return np.asarray(np.rint(np.clip(np.nan_to_num(values), 0, 255))).astype(np.uint8)
