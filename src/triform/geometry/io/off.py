"""Reading of OFF, the format of ModelNet, with colours of vertices or faces."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import islice

import numpy as np

from triform.geometry.colors import UNCOLORED
from triform.geometry.io.parts import LeftOut
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.text import normalize_text
from triform.geometry.mesh import Mesh, MeshError

# Many files of ModelNet have the counts on the first line without a space: "OFF490 518 0".
_HEADER = re.compile(rb"((?:ST|C|N|4|n)*)(?:OFF|off|Off)(?![A-Za-z])")
# Lengths of a unit vector that was written with few digits.
MIN_NORMAL, MAX_NORMAL = 0.98, 1.02
NO_COLOR: list[bytes] = []  # one for all faces, of which there are millions


def read_off(data: bytes, name: str = "model") -> Mesh:
    """Read vertices, triangulated polygons, and colours of vertices (COFF) or faces.

    Normals and texture coordinates are skipped. The header may be missing, as Geomview allows.

    Args:
        data: content of the file.
        name: name of the model in warnings.

    Raises:
        MeshError: another format, fewer lines than the header says, or an invalid line.
    """
    # Split line by line: the words of millions of lines would fill the memory.
    lines = normalize_text(data).split(b"\n")
    rows = (row for line in lines if (row := line.partition(b"#")[0].split()))
    kind, num_vertices, num_faces, dimension = _read_header(rows)
    positions, corners, sizes = array("d"), array("q"), array("q")
    attributes: list[list[bytes]] = []
    face_color_words: list[list[bytes]] = []
    left_out = LeftOut()
    num_rows = 0
    try:
        for row in islice(rows, num_vertices):
            if len(row) < dimension:
                raise ValueError(f"a vertex has {len(row)} coordinates, it needs {dimension}")
            if b"4" in kind:
                weight = float(row[3])
                positions.extend(float(word) / weight for word in row[:3])
            else:
                positions.extend(map(float, row[:3]))
            if b"C" in kind:
                attributes.append(row[dimension:])
            num_rows += 1
        for row in islice(rows, num_faces):
            count = int(row[0])
            if not 0 <= count < len(row):
                raise ValueError(f"a face promises {count} corners and has {len(row) - 1}")
            corners.extend(map(int, row[1 : 1 + count]))
            sizes.append(count)
            face_color_words.append(row[1 + count : 4 + count] or NO_COLOR)
            num_rows += 1
        if num_rows < num_vertices + num_faces:
            raise ValueError(
                f"it promises {num_vertices} vertices and {num_faces} faces "
                f"but has {num_rows} lines"
            )
        vertices = np.array(positions).reshape(-1, 3)
        corner_indices = np.array(corners, dtype=np.int64)
        triangles, polygon = triangulate(vertices, corner_indices, np.array(sizes, dtype=np.int64))
        if len(triangles) == 0:
            raise MeshError(
                f"there are no faces in it, only {num_vertices} vertices"
                + (f" and {num_faces} faces of less than three corners" if num_faces else "")
            )
        vertex_colors = _vertex_colors(attributes, kind)
        face_colors = _face_colors(face_color_words, left_out)
        face_colors = None if face_colors is None else face_colors[polygon]
    except (ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise MeshError(f"damaged OFF file: {error}") from None
    left_out.add(f"line{{s}} behind the {num_faces} faces that it promises", sum(1 for _ in rows))
    left_out.add("face{s} of fewer than three corners", sum(1 for size in sizes if size < 3))
    left_out.warn(name)
    mesh = Mesh(vertices, corner_indices[triangles], face_colors)
    if face_colors is None and vertex_colors is not None:
        mean_colors = vertex_colors[mesh.faces].mean(axis=1).astype(np.uint8)
        mesh = Mesh(mesh.vertices, mesh.faces, mean_colors)
    return mesh


def _read_header(rows: Iterator[list[bytes]]) -> tuple[bytes, int, int, int]:
    """Read the kind of a file, its numbers of vertices and faces, and of coordinates."""
    row = next(rows, [])
    kind = b""
    if row and (header := _HEADER.match(row[0])):
        kind = header[1]
        row = [row[0][header.end() :], *row[1:]] if header.end() < len(row[0]) else row[1:]
        if row[:1] == [b"BINARY"]:
            raise MeshError("binary OFF is not read; save the model as text")
    elif not all(word.isdigit() for word in row) or len(row) not in (2, 3):
        raise MeshError("damaged, or no OFF file: it does not begin with OFF")
    try:
        dimension = 3
        if b"n" in kind:
            row = row or next(rows, [])
            dimension, row = int(row[0]), row[1:]
            if dimension != 3:
                raise MeshError(f"its points have {dimension} dimensions; expected 3")
        # The counts may stand on several lines.
        counts = row
        while len(counts) < 2 or (len(counts) == 2 and counts is not row and len(row) == 1):
            row = next(rows, [])
            if not row:
                break
            counts = counts + row
        num_vertices, num_faces = (int(word) for word in counts[:2])
    except (ValueError, IndexError):
        raise MeshError("damaged OFF file: the numbers of vertices and faces are missing") from None
    if min(num_vertices, num_faces) < 0:
        raise MeshError(f"damaged OFF file: it promises {num_vertices} vertices, {num_faces} faces")
    return kind, num_vertices, num_faces, dimension + (b"4" in kind)


def _vertex_colors(attributes: list[list[bytes]], kind: bytes) -> np.ndarray | None:
    """Return (V, 3) uint8 colours from what stands behind the coordinates of vertices, or None.

    Geomview's order is normal, colour, texture coordinates; MeshLab writes the colour first.
    """
    end = -2 if b"ST" in kind else None
    words = [row[:end] for row in attributes]
    if b"N" not in kind:
        words = [row[:3] for row in words]
    elif all(len(row) >= 6 for row in words):
        normals_first, normals_last = (
            np.linalg.norm(np.array(part, dtype=np.float64).reshape(-1, 3), axis=1)
            for part in ([row[:3] for row in words], [row[-3:] for row in words])
        )
        color_first = not _are_normals(normals_first) and _are_normals(normals_last)
        words = [row[:3] if color_first else row[3:6] for row in words]
    if not words or any(len(row) != 3 for row in words):
        return None
    return _parse_colors(words)


def _are_normals(lengths: np.ndarray) -> bool:
    return bool((((lengths > MIN_NORMAL) & (lengths < MAX_NORMAL)) | (lengths == 0)).all())


def _face_colors(words: list[list[bytes]], left_out: LeftOut) -> np.ndarray | None:
    """Return (F, 3) uint8 colours of faces, grey where a face has none, or None without any."""
    left_out.add(
        "colour{s} of faces by their number in a map", sum(1 for row in words if len(row) == 1)
    )
    colored = [number for number, row in enumerate(words) if len(row) == 3]
    if not colored:
        return None
    colors = np.full((len(words), 3), UNCOLORED, dtype=np.uint8)
    colors[colored] = _parse_colors([words[number] for number in colored])
    return colors


def _parse_colors(words: list[list[bytes]]) -> np.ndarray:
    """Parse colours in 0 to 255, or in 0 to 1 if any has a decimal point or an exponent."""
    fractions = any(b"." in word or b"e" in word for row in words for word in row)
    values = np.array(words, dtype=np.float64) * (255 if fractions else 1)
    return np.asarray(np.rint(np.clip(np.nan_to_num(values), 0, 255))).astype(np.uint8)
