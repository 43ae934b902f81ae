"""Reading of OFF, the format of ModelNet, with colours of vertices or faces."""

from __future__ import annotations

import re
from array import array
from itertools import islice

import numpy as np

from triform.geometry.io.polygons import triangulate
from triform.geometry.mesh import Mesh, MeshError

# Many files of ModelNet have the counts on the first line without a space: "OFF490 518 0".
_HEADER = re.compile(rb"\s*(?:ST)?(C?)(N?)OFF")


def read_off(data: bytes) -> Mesh:
    """Read vertices, triangulated polygons, and colours of vertices (COFF) or faces.

    Raises:
        MeshError: another format, fewer lines than the header says, or an invalid line.
    """
    header = _HEADER.match(data)
    if header is None:
        raise MeshError("damaged, or no OFF file: it does not begin with OFF")
    # Split line by line: the words of millions of lines would fill the memory.
    lines = data[header.end() :].splitlines()
    rows = (row for line in lines if (row := line.partition(b"#")[0].split()))
    color_column = 6 if header[2] else 3  # normals stand before colours
    positions, corners, sizes = array("d"), array("q"), array("q")
    vertex_color_words: list[list[bytes]] | None = [] if header[1] else None
    face_color_words: list[list[bytes]] | None = []
    num_rows = 0
    try:
        num_vertices, num_faces = (int(word) for word in next(rows, [b""])[:2])
        if min(num_vertices, num_faces) < 0:
            raise ValueError(f"it promises {num_vertices} vertices and {num_faces} faces")
        for row in islice(rows, num_vertices):
            if len(row) < 3:
                raise ValueError(f"a vertex has {len(row)} coordinates, it needs 3")
            positions.extend(map(float, row[:3]))
            vertex_color_words = _append_color(
                vertex_color_words, row[color_column : color_column + 3]
            )
            num_rows += 1
        for row in islice(rows, num_faces):
            count = int(row[0])
            if not 0 <= count < len(row):
                raise ValueError(f"a face promises {count} corners and has {len(row) - 1}")
            corners.extend(map(int, row[1 : 1 + count]))
            sizes.append(count)
            face_color_words = _append_color(face_color_words, row[1 + count : 4 + count])
            num_rows += 1
        if num_rows < num_vertices + num_faces:
            raise ValueError(
                f"it promises {num_vertices} vertices and {num_faces} faces "
                f"but has {num_rows} lines"
            )
        vertices = np.array(positions).reshape(-1, 3)
        corner_indices = np.array(corners, dtype=np.int64)
        triangles, polygon = triangulate(vertices, corner_indices, np.array(sizes, dtype=np.int64))
        vertex_colors = _parse_colors(vertex_color_words) if vertex_color_words else None
        face_colors = _parse_colors(face_color_words)[polygon] if face_color_words else None
    except (ValueError, IndexError, OverflowError) as error:
        raise MeshError(f"damaged OFF file: {error}") from None
    mesh = Mesh(vertices, corner_indices[triangles], face_colors)
    if face_colors is None and vertex_colors is not None:
        mean_colors = vertex_colors[mesh.faces].mean(axis=1).astype(np.uint8)
        mesh = Mesh(mesh.vertices, mesh.faces, mean_colors)
    return mesh


def _append_color(table: list[list[bytes]] | None, color: list[bytes]) -> list[list[bytes]] | None:
    """Append a colour to a table, which becomes None once a colour is missing."""
    if table is None or len(color) != 3:
        return None
    table.append(color)
    return table


def _parse_colors(words: list[list[bytes]]) -> np.ndarray:
    """Parse colours in 0 to 255, or in 0 to 1 if any has a decimal point."""
    fractions = any(b"." in word for row in words for word in row)
    values = np.array(words, dtype=np.float64) * (255 if fractions else 1)
    return np.asarray(np.rint(np.clip(np.nan_to_num(values), 0, 255))).astype(np.uint8)
