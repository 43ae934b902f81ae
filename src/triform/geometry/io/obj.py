"""Reading of Wavefront OBJ, the format of most furniture, with colours from its materials.

Our own reader, because trimesh accepts index 0 and negative indices beyond the start, and is half
as fast.
"""

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import Iterable

import numpy as np

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED, texture_means, to_bytes
from triform.geometry.io.mtl import read_materials
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.mesh import Mesh, MeshError

# Number and total bytes of the files in `mtllib`, different spellings counted.
MAX_LIBRARIES = 1000
MAX_LIBRARY_BYTES = 2**26


def read_obj(
    data: bytes, find: FileFinder, *, appearance: bool = False, name: str = "model"
) -> Mesh:
    """Read vertices, faces, vertex colours and materials.

    Polygons are triangulated; those of two corners, lines, points, curves and groups are skipped.

    Args:
        data: content of the file.
        find: returns the content of the files that it names.
        appearance: read materials, textures and vertex colours as well.
        name: name of the model in warnings.

    Raises:
        MeshError: the line at fault and why.
    """
    positions, vertex_colors, uvs = array("d"), array("d"), array("d")
    corners, corner_uvs, sizes, polygon_materials = (array("q") for _ in range(4))
    materials: dict[str, int] = {}
    libraries: dict[str, None] = {}
    material = -1
    line_number = 0
    try:
        for line in io.BytesIO(data.replace(b"\\\n", b" ")):
            line_number += 1
            key, arguments = (*line.split(maxsplit=1), b"", b"")[:2]
            if key == b"v":
                words = arguments.split()
                if len(words) < 3:
                    raise ValueError(f"a vertex has {len(words)} coordinates, it needs 3")
                x, y, z = words[:3]
                positions.extend((float(x), float(y), float(z)))
                if len(words) >= 6:
                    vertex_colors.extend(map(float, words[3:6]))
            elif key == b"f":
                words = arguments.split()
                for word in words:
                    vertex_index, uv = _parse_corner(word, len(positions) // 3, len(uvs) // 2)
                    corners.append(vertex_index)
                    corner_uvs.append(uv)
                sizes.append(len(words))
                polygon_materials.append(material)
            elif key == b"vt":
                words = arguments.split()
                uvs.extend(map(float, (*words, b"0", b"0")[:2]))
            elif key == b"usemtl":
                material = materials.setdefault(_decode(arguments), len(materials))
            elif key == b"mtllib":
                libraries.pop(library := _decode(arguments), None)  # the last of two counts
                libraries[library] = None
    except (ValueError, OverflowError) as error:
        raise MeshError(f"line {line_number}: {error}") from None

    vertices = _to_array(positions, 3)
    triangles, polygon = triangulate(vertices, _to_array(corners), _to_array(sizes))
    if len(triangles) == 0:
        raise MeshError("there are no faces in it")
    mesh = Mesh(vertices, _to_array(corners)[triangles])
    colors = np.full(mesh.faces.shape, UNCOLORED, dtype=np.uint8)
    has_colors = len(vertex_colors) == len(positions)
    corner_colors = None
    if has_colors:
        corner_colors = to_bytes(_to_array(vertex_colors, 3))[mesh.faces]
        colors = corner_colors.mean(axis=1).astype(np.uint8)
    materials_by_name = _read_material_libraries(libraries, find, name)
    material_of_face = _to_array(polygon_materials)[polygon]
    uv_index = _to_array(corner_uvs)[triangles]
    has_uv = ((uv_index >= 0) & (uv_index < len(uvs) // 2)).all(axis=1)
    uv_of_face = _to_array(uvs, 2)[np.where(has_uv[:, None], uv_index, 0)] if has_uv.any() else None
    face_materials = [
        Material(np.array((255, 255, 255) if has_colors else UNCOLORED, dtype=np.uint8))
    ]
    material_index = np.zeros(len(mesh.faces), dtype=np.int32)
    for name, index in materials.items():
        if name not in materials_by_name:
            continue
        selected = np.flatnonzero(material_of_face == index)
        textured, untextured = materials_by_name[name]
        colors[selected], material_index[selected] = untextured.color, len(face_materials)
        face_materials.append(untextured)
        has_colors |= len(selected) > 0
        if corner_colors is not None:
            # A material replaces the vertex colours.
            corner_colors[selected] = 255
        if textured.texture is not None and uv_of_face is not None:
            selected = selected[has_uv[selected]]
            mean_colors = texture_means(textured.texture[..., :3], uv_of_face[selected])
            # A white texture with alpha is multiplied by the material's colour.
            colors[selected] = np.rint(mean_colors * (textured.color / 255)).astype(np.uint8)
            material_index[selected] = len(face_materials)
            face_materials.append(textured)
    face_colors = colors if has_colors else None
    if not appearance:
        return Mesh(mesh.vertices, mesh.faces, face_colors)
    mesh_appearance = Appearance(material_index, tuple(face_materials), uv_of_face, corner_colors)
    return Mesh(mesh.vertices, mesh.faces, face_colors, mesh_appearance)


def _read_material_libraries(
    names: Iterable[str], find: FileFinder, model: str
) -> dict[str, tuple[Material, Material]]:
    """Read the material libraries of a file, equal ones once.

    Raises:
        MeshError: more libraries than a model has, or too large ones.
    """
    contents: dict[bytes, bytes] = {}
    size = 0
    for index, name in enumerate(names):
        data = find(name) or b""
        size += len(data)
        if index >= MAX_LIBRARIES or size > MAX_LIBRARY_BYTES:
            raise MeshError(
                f"its material libraries are more than {MAX_LIBRARIES} or larger than "
                f"{MAX_LIBRARY_BYTES} bytes together; name each once"
            )
        key = hashlib.blake2b(data, digest_size=16).digest()
        contents.pop(key, None)
        contents[key] = data
    textures = Textures(find, model)
    materials_by_name: dict[str, tuple[Material, Material]] = {}
    for data in contents.values():
        materials_by_name.update(read_materials(data, find, textures))
    textures.report_problems()
    return materials_by_name


def _parse_corner(word: bytes, num_vertices: int, num_uvs: int) -> tuple[int, int]:
    """Parse a corner `v`, `v/vt`, `v//vn` or `v/vt/vn` to 0-based (vertex, uv or -1)."""
    parts = word.split(b"/")
    vertex = int(parts[0])
    # Negative indices are relative to the vertices read so far.
    vertex_index = vertex - 1 if vertex > 0 else num_vertices + vertex
    if vertex == 0 or vertex_index < 0:
        raise ValueError(f"a face uses vertex {vertex}, indices start at 1")
    uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    return vertex_index, uv - 1 if uv > 0 else num_uvs + uv if uv < 0 else -1


def _to_array(values: array[float] | array[int], columns: int = 0) -> np.ndarray:
    table = np.frombuffer(values, dtype=np.float64 if values.typecode == "d" else np.int64)
    return table.reshape(-1, columns) if columns else table


def _decode(words: bytes) -> str:
    return words.strip().decode("utf-8", errors="replace")
