"""Reading of Wavefront OBJ, the format of most furniture, with colours from its materials.

Our own reader, because trimesh accepts index 0 and negative indices beyond the start, and is half
as fast.
"""

from __future__ import annotations

import hashlib
import io
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from math import nan

import numpy as np

from triform.base.logging import get_logger
from triform.base.printable import printable, shorten
from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED, texture_means, to_bytes
from triform.geometry.io.mtl import read_materials
from triform.geometry.io.parts import LeftOut
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.text import (
    decode_name,
    join_continued_lines,
    normalize_text,
    strip_comment,
)
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.mesh import Mesh, MeshError

logger = get_logger(__name__)

# Number and total bytes of the files in `mtllib`, different spellings counted.
MAX_LIBRARIES = 1000
MAX_LIBRARY_BYTES = 2**26
# Names in one `mtllib`: quoted, or up to a suffix `.mtl`, or a word.
_LIBRARY_NAMES = re.compile(rb'"[^"]+"|\S.*?\.mtl(?=\s|$)|\S+', re.IGNORECASE)
# What exporters name faces without a material.
NO_MATERIAL = ("none", "(null)", "null", "default")
# Colours of vertices beyond this are not in 0 to 1 but in 0 to 255.
MAX_FRACTION = 2.0
# What a file may hold in the place of faces.
_WITHOUT_FACES = {
    b"surf": "free-form surfaces; export polygons instead",
    b"curv": "free-form curves; export polygons instead",
    b"l": "lines; export faces instead",
    b"p": "points; export faces instead",
    b"f": "faces of less than three corners",
    b"v": "vertices; export faces instead",
}

_LEFT_OUT = {
    b"surf": "free-form surface{s}",
    b"curv": "free-form curve{s}",
    b"l": "line{s}",
    b"p": "point element{s}",
}


def read_obj(
    data: bytes, find: FileFinder, *, appearance: bool = False, name: str = "model"
) -> Mesh:
    """Read vertices, faces, vertex colours and materials.

    Polygons are triangulated. Those of two corners, lines, points and curves are left out, which is
    said once.

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
    materials: dict[bytes, int] = {}
    libraries: dict[bytes, None] = {}
    skipped: Counter[bytes] = Counter()
    material = -1
    line_number = 0
    try:
        for line in io.BytesIO(join_continued_lines(normalize_text(data))):
            line_number += 1
            key, arguments = (*line.split(maxsplit=1), b"", b"")[:2]
            if key == b"v":
                words = arguments.partition(b"#")[0].split()
                if len(words) < 3:
                    raise ValueError(f"a vertex has {len(words)} coordinates, it needs 3")
                x, y, z = words[:3]
                if len(words) >= 6:
                    # Vertices so far without a colour.
                    vertex_colors.extend([nan] * (len(positions) - len(vertex_colors)))
                    vertex_colors.extend(map(float, words[3:6]))
                positions.extend((float(x), float(y), float(z)))
            elif key in (b"f", b"fo"):  # `fo` of the first version
                words = arguments.partition(b"#")[0].split()
                for word in words:
                    vertex_index, uv = _parse_corner(word, len(positions) // 3, len(uvs) // 2)
                    corners.append(vertex_index)
                    corner_uvs.append(uv)
                sizes.append(len(words))
                polygon_materials.append(material)
            elif key == b"vt":
                words = arguments.partition(b"#")[0].split()
                uvs.extend(map(float, (*words, b"0", b"0")[:2]))
            elif key.lower() == b"usemtl":
                material = materials.setdefault(arguments.strip(), len(materials))
            elif key.lower() == b"mtllib":
                libraries.pop(arguments, None)  # the last of two counts
                libraries[arguments] = None
            elif key in _WITHOUT_FACES:
                skipped[key] += 1
    except (ValueError, OverflowError) as error:
        raise MeshError(f"line {line_number}: {_reason(error)}") from None

    vertices = _to_array(positions, 3)
    triangles, polygon = triangulate(vertices, _to_array(corners), _to_array(sizes))
    if len(triangles) == 0:
        skipped.update({b"f": len(sizes), b"v": len(vertices)})
        raise MeshError(_why_no_faces(skipped))
    mesh = Mesh(vertices, _to_array(corners)[triangles])
    left_out = LeftOut()
    for key, what in _LEFT_OUT.items():
        left_out.add(what, skipped[key])
    left_out.add("face{s} of less than three corners", sum(size < 3 for size in sizes))
    left_out.warn(name)
    colors = np.full(mesh.faces.shape, UNCOLORED, dtype=np.uint8)
    corner_colors = None
    has_colors = len(vertex_colors) > 0
    if has_colors:
        corner_colors = _vertex_colors(vertex_colors, len(vertices))[mesh.faces]
        colors = corner_colors.mean(axis=1).astype(np.uint8)
    material_of_face = _to_array(polygon_materials)[polygon]
    used_materials = set(material_of_face.tolist())
    materials_by_name = _read_material_libraries(
        libraries,
        [key for key, index in materials.items() if index in used_materials],
        find,
        name,
        report=appearance,
    )
    uv_index = _to_array(corner_uvs)[triangles]
    has_uv = ((uv_index >= 0) & (uv_index < len(uvs) // 2)).all(axis=1)
    uv_of_face = _to_array(uvs, 2)[np.where(has_uv[:, None], uv_index, 0)] if has_uv.any() else None
    face_materials = [
        Material(np.array((255, 255, 255) if has_colors else UNCOLORED, dtype=np.uint8))
    ]
    material_index = np.zeros(len(mesh.faces), dtype=np.int32)
    for key, (textured, untextured) in materials_by_name.items():
        selected = np.flatnonzero(material_of_face == materials[key])
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


def _reason(error: Exception) -> str:
    """Return what is wrong with a line; a word that is no number is named."""
    word = re.search("(?:float|literal for int).*: b?(['\"].*['\"])$", str(error))
    if word is None:
        return str(error)
    hint = "; decimals are written with a point" if re.search(r"\d,\d", word[1]) else ""
    return f"{word[1]} is no number{hint}"


def _why_no_faces(skipped: Counter[bytes]) -> str:
    """Return why a file without triangles has none."""
    for key, description in _WITHOUT_FACES.items():
        if skipped[key]:
            return f"there are no faces in it, only {description}"
    return "damaged, or no OBJ file: none of its lines is a vertex or a face"


def _vertex_colors(values: array[float], num_vertices: int) -> np.ndarray:
    """Return (V, 3) uint8 colours of vertices, which a file has in 0 to 1 or in 0 to 255."""
    values.extend([nan] * (3 * num_vertices - len(values)))
    table = _to_array(values, 3)
    scale = 255 if np.nanmax(table, initial=0) > MAX_FRACTION else 1
    colors = to_bytes(table / scale)
    colors[np.isnan(table).all(axis=1)] = UNCOLORED
    return colors


def _read_material_libraries(
    libraries: Iterable[bytes], used: Iterable[bytes], find: FileFinder, model: str, *, report: bool
) -> dict[bytes, tuple[Material, Material]]:
    """Read the materials that faces use; a warning names what is missing.

    Args:
        libraries: arguments of `mtllib`, one or several names each.
        used: arguments of `usemtl`.
        find: returns the content of a file.
        model: name of the model in warnings.
        report: whether to warn.

    Raises:
        MeshError: more libraries than a model has, or too large ones.
    """
    contents: dict[bytes, bytes] = {}
    size = count = 0
    missing: dict[str, None] = {}

    def add(name: str) -> bool:
        nonlocal size, count
        data = find(name)
        count += 1
        size += len(data or b"")
        if count > MAX_LIBRARIES or size > MAX_LIBRARY_BYTES:
            raise MeshError(
                f"its material libraries are more than {MAX_LIBRARIES} or larger than "
                f"{MAX_LIBRARY_BYTES} bytes together; name each once"
            )
        if data is not None:
            key = hashlib.blake2b(data, digest_size=16).digest()
            contents.pop(key, None)
            contents[key] = data
        return data is not None

    for library in libraries:
        whole = decode_name(library)
        # A name may have spaces, and several may share a line.
        if not whole or add(whole):
            continue
        for name in map(decode_name, _LIBRARY_NAMES.findall(library)):
            words = name.split()
            if name == whole and len(words) < 2:
                missing[name] = None
            elif name == whole or not add(name):
                missing.update((word, None) for word in words if len(words) < 2 or not add(word))
    textures = Textures(find, model)
    used = tuple(used)
    decoded = [decode_name(key) for key in used]
    names = {*decoded, *map(strip_comment, decoded)}
    by_name: dict[str, tuple[Material, Material]] = {}
    for data in contents.values():
        by_name.update(read_materials(data, find, textures, names))
    # A comment may follow a name, but a name may hold the sign as well.
    by_name = {strip_comment(name): materials for name, materials in by_name.items()} | by_name
    found: dict[bytes, tuple[Material, Material]] = {}
    unknown: dict[str, None] = {}
    for key in used:
        name = decode_name(key)
        name = name if name in by_name else strip_comment(name)
        if name in by_name:
            found[key] = by_name[name]
        elif name and name.lower() not in NO_MATERIAL:
            unknown[name] = None
    if not report:
        pass  # for voxels alone, colours and their loss do not matter
    elif missing:
        logger.warning("%s: without its material library %s", model, _first(missing))
    elif unknown:
        logger.warning("%s: its libraries lack the material %s", model, _first(unknown))
    textures.report_problems()
    return found


def _first(names: dict[str, None]) -> str:
    first = printable(shorten(next(iter(names))))
    return f"{first} (and {len(names) - 1} more)" if len(names) > 1 else first


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
