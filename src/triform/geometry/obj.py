"""Reading Wavefront OBJ, the format of most furniture, with colours from its materials.

Our own reader, because the general one takes index 0 and indices counted back from the end of the
file for valid, and is half as fast.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable

import numpy as np

from triform.geometry.colors import UNCOLORED, read_texture, texture_means, to_bytes
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.polygons import triangulate

# The content of a file that the model refers to, or None where it may not or cannot be read.
Fetch = Callable[[str], bytes | None]


def read_obj(data: bytes, fetch: Fetch) -> Mesh:
    """Read vertices, faces, vertex colours and materials.

    Polygons are cut into triangles; one with two corners is nothing. Lines, points, curves and
    groups are skipped.

    Raises:
        MeshError: the line at fault and why.
    """
    positions, vertex_colors, uvs = array("d"), array("d"), array("d")
    corners, corner_uvs, sizes, polygon_materials = (array("q") for _ in range(4))
    materials: dict[str, int] = {}
    libraries: list[str] = []
    material = -1
    number = 0
    try:
        for line in io.BytesIO(data.replace(b"\\\n", b" ")):
            number += 1
            key, rest = (*line.split(maxsplit=1), b"", b"")[:2]
            if key == b"v":
                words = rest.split()
                if len(words) < 3:
                    raise ValueError(f"a vertex has {len(words)} coordinates, it needs 3")
                x, y, z = words[:3]
                positions.extend((float(x), float(y), float(z)))
                if len(words) >= 6:
                    vertex_colors.extend(map(float, words[3:6]))
            elif key == b"f":
                words = rest.split()
                for word in words:
                    at, uv = _corner(word, len(positions) // 3, len(uvs) // 2)
                    corners.append(at)
                    corner_uvs.append(uv)
                sizes.append(len(words))
                polygon_materials.append(material)
            elif key == b"vt":
                words = rest.split()
                uvs.extend(map(float, (*words, b"0", b"0")[:2]))
            elif key == b"usemtl":
                material = materials.setdefault(_text(rest), len(materials))
            elif key == b"mtllib":
                libraries.append(_text(rest))
    except (ValueError, OverflowError) as error:
        raise MeshError(f"line {number}: {error}") from None

    vertices = _table(positions, 3)
    triangles, polygon = triangulate(vertices, _table(corners), _table(sizes))
    if len(triangles) == 0:
        raise MeshError("there are no faces in it")
    mesh = Mesh(vertices, _table(corners)[triangles])
    colors = np.full(mesh.faces.shape, UNCOLORED, dtype=np.uint8)
    colored = len(vertex_colors) == len(positions)
    if colored:
        colors = to_bytes(_table(vertex_colors, 3))[mesh.faces].mean(axis=1).astype(np.uint8)
    palette = {}
    for library in libraries:
        palette.update(read_materials(fetch(library) or b"", fetch))
    of_face = _table(polygon_materials)[polygon]
    face_uvs = _table(corner_uvs)[triangles]
    for name, index in materials.items():
        if name not in palette:
            continue
        color, texture = palette[name]
        chosen = np.flatnonzero(of_face == index)
        colors[chosen] = color
        colored |= len(chosen) > 0
        if texture is not None and len(uvs):
            used = face_uvs[chosen]
            chosen = chosen[((used >= 0) & (used < len(uvs) // 2)).all(axis=1)]
            colors[chosen] = texture_means(texture, _table(uvs, 2)[face_uvs[chosen]])
    return Mesh(mesh.vertices, mesh.faces, colors if colored else None)


def read_materials(data: bytes, fetch: Fetch) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Read an MTL library.

    Damaged lines are skipped: a model without a colour is still a model.

    Returns:
        Material name -> (diffuse colour (3,) uint8, texture (H, W, 3) uint8 or None).
    """
    materials: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    name = ""
    for line in data.splitlines():
        key, rest = (*line.split(maxsplit=1), b"", b"")[:2]
        if key == b"newmtl":
            name = _text(rest)
            materials[name] = (np.array(UNCOLORED, dtype=np.uint8), None)
        elif key == b"Kd" and name:
            try:
                values = [float(word) for word in rest.split()]
            except ValueError:
                continue
            if len(values) >= 3:
                materials[name] = (to_bytes(np.array(values[:3])), materials[name][1])
        elif key == b"map_Kd" and name:
            # Options such as "-s 1 1 1" stand before the file name, which may hold spaces itself.
            file = _text(rest.split()[-1] if rest.startswith(b"-") else rest)
            picture = fetch(file)
            if picture:
                materials[name] = (materials[name][0], read_texture(picture))
    return materials


def _corner(word: bytes, num_vertices: int, num_uvs: int) -> tuple[int, int]:
    """Read a corner `v`, `v/vt`, `v//vn` or `v/vt/vn` as (vertex, uv or -1), counted from 0."""
    parts = word.split(b"/")
    vertex = int(parts[0])
    # Negative indices count back from the vertices read so far.
    at = vertex - 1 if vertex > 0 else num_vertices + vertex
    if vertex == 0 or at < 0:
        raise ValueError(f"a face uses vertex {vertex}, indices start at 1")
    uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    return at, uv - 1 if uv > 0 else num_uvs + uv if uv < 0 else -1


def _table(values: array[float] | array[int], columns: int = 0) -> np.ndarray:
    table = np.frombuffer(values, dtype=np.float64 if values.typecode == "d" else np.int64)
    return table.reshape(-1, columns) if columns else table


def _text(words: bytes) -> str:
    return words.strip().decode("utf-8", errors="replace")
