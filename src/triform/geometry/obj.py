"""Reading Wavefront OBJ, the format of most furniture, with colours from its materials.

Our own reader, because the general one takes index 0 and indices counted back from the end of the
file for valid, and is half as fast.
"""

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import Iterable

import numpy as np

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED, texture_means, to_bytes
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.mtl import read_materials
from triform.geometry.polygons import triangulate
from triform.geometry.textures import Find, Textures

# What a model names in `mtllib`, different spellings counted.
MOST_LIBRARIES = 1000
LARGEST_LIBRARIES = 2**26


def read_obj(data: bytes, fetch: Find, *, appearance: bool = False, name: str = "model") -> Mesh:
    """Read vertices, faces, vertex colours and materials.

    Polygons are cut into triangles; one with two corners is nothing. Lines, points, curves and
    groups are skipped.

    Args:
        data: content of the file.
        fetch: gives the content of the files that it names.
        appearance: keep materials, textures and vertex colours as well.
        name: what a warning calls the model.

    Raises:
        MeshError: the line at fault and why.
    """
    positions, vertex_colors, uvs = array("d"), array("d"), array("d")
    corners, corner_uvs, sizes, polygon_materials = (array("q") for _ in range(4))
    materials: dict[str, int] = {}
    libraries: dict[str, None] = {}
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
                libraries.pop(library := _text(rest), None)  # the last of two counts
                libraries[library] = None
    except (ValueError, OverflowError) as error:
        raise MeshError(f"line {number}: {error}") from None

    vertices = _table(positions, 3)
    triangles, polygon = triangulate(vertices, _table(corners), _table(sizes))
    if len(triangles) == 0:
        raise MeshError("there are no faces in it")
    mesh = Mesh(vertices, _table(corners)[triangles])
    colors = np.full(mesh.faces.shape, UNCOLORED, dtype=np.uint8)
    colored = len(vertex_colors) == len(positions)
    shades = None
    if colored:
        shades = to_bytes(_table(vertex_colors, 3))[mesh.faces]
        colors = shades.mean(axis=1).astype(np.uint8)
    palette = _read_libraries(libraries, fetch, name)
    of_face = _table(polygon_materials)[polygon]
    places = _table(corner_uvs)[triangles]
    has_uv = ((places >= 0) & (places < len(uvs) // 2)).all(axis=1)
    uv_of_face = _table(uvs, 2)[np.where(has_uv[:, None], places, 0)] if has_uv.any() else None
    looks = [Material(np.array((255, 255, 255) if colored else UNCOLORED, dtype=np.uint8))]
    look_of_face = np.zeros(len(mesh.faces), dtype=np.int32)
    for name, index in materials.items():
        if name not in palette:
            continue
        chosen = np.flatnonzero(of_face == index)
        textured, plain = palette[name]
        colors[chosen], look_of_face[chosen] = plain.color, len(looks)
        looks.append(plain)
        colored |= len(chosen) > 0
        if shades is not None:
            # A material stands in place of the vertices' colours.
            shades[chosen] = 255
        if textured.texture is not None and uv_of_face is not None:
            chosen = chosen[has_uv[chosen]]
            means = texture_means(textured.texture[..., :3], uv_of_face[chosen])
            # A texture of white with holes is tinted by its material.
            colors[chosen] = np.rint(means * (textured.color / 255)).astype(np.uint8)
            look_of_face[chosen] = len(looks)
            looks.append(textured)
    look = Appearance(look_of_face, tuple(looks), uv_of_face, shades) if appearance else None
    return Mesh(mesh.vertices, mesh.faces, colors if colored else None, look)


def _read_libraries(
    names: Iterable[str], fetch: Find, model: str
) -> dict[str, tuple[Material, Material]]:
    """Read the material libraries of a file, each content once, however often it is named.

    Raises:
        MeshError: more libraries than a model has, or too large ones.
    """
    contents: dict[bytes, bytes] = {}
    size = 0
    for number, name in enumerate(names):
        data = fetch(name) or b""
        size += len(data)
        if number >= MOST_LIBRARIES or size > LARGEST_LIBRARIES:
            raise MeshError(
                f"its material libraries are more than {MOST_LIBRARIES} or larger than "
                f"{LARGEST_LIBRARIES} bytes together; name each once"
            )
        key = hashlib.blake2b(data, digest_size=16).digest()
        contents.pop(key, None)
        contents[key] = data
    textures = Textures(fetch, model)
    palette: dict[str, tuple[Material, Material]] = {}
    for data in contents.values():
        palette.update(read_materials(data, fetch, textures))
    textures.finish()
    return palette


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
