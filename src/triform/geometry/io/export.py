"""Writing of meshes as OBJ, GLB, PLY, STL or 3MF, by atomic files.

Coordinates have the precision of 32-bit floats, which GLB and STL prescribe. Colours are written as
an MTL file beside an OBJ, as materials in GLB and 3MF and as face colours in PLY; STL has none. The
coordinates of a 3MF are millimetres, which `geometry.format_units` cares for.

Vertex colours, on request, are in the place of materials and face colours, since a material hides
them in an OBJ and multiplies them in a GLB: `v x y z r g b` in OBJ, COLOR_0 in GLB, and the
properties red, green and blue of a vertex in PLY.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.geometry.colors import UNCOLORED, linear_from_srgb, vertex_means
from triform.geometry.mesh import Mesh

SUFFIXES = (".obj", ".glb", ".ply", ".stl", ".3mf")
# The parts of a 3MF besides its model, by the Open Packaging Conventions.
_CONTENT_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" \
ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
</Types>
"""
_RELATIONSHIPS = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Target="/3D/3dmodel.model" Id="rel0" \
Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>
"""


def save_mesh(
    mesh: Mesh,
    path: str | Path,
    *,
    up: Literal["y", "z"] = "y",
    vertex_colors: bool = False,
) -> None:
    """Write a mesh in the format that the suffix names.

    Args:
        mesh: any mesh.
        path: a file ending in one of `SUFFIXES`; an OBJ with colours also writes the MTL file of
            the same name.
        up: the mesh's upright axis, which an STL file declares.
        vertex_colors: write the mean colours of the faces around each vertex, in the place of
            face colours, into OBJ, GLB and PLY.

    Raises:
        UsageError: another suffix.
        OSError: the file cannot be written; what was there before is untouched.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: cannot write {suffix!r} files, choose {', '.join(SUFFIXES)}")
    if vertex_colors and mesh.face_colors is not None and suffix in _WITH_VERTEX_COLORS:
        colors = vertex_means(mesh.faces, mesh.face_colors, len(mesh.vertices))
        data = _WITH_VERTEX_COLORS[suffix](mesh, colors)
    elif suffix == ".obj":
        if mesh.face_colors is not None:
            with atomic_write(path.with_suffix(".mtl")) as file:
                file.write(_mtl_bytes(mesh))
        data = _obj_bytes(mesh, path.with_suffix(".mtl").name)
    else:
        write = {".glb": _glb_bytes, ".ply": _ply_bytes, ".3mf": _3mf_bytes}
        data = _stl_bytes(mesh, up) if suffix == ".stl" else write[suffix](mesh)
    with atomic_write(path) as file:
        file.write(data)


def _palette(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct colours (C, 3) and the colour of every face (F,)."""
    if mesh.face_colors is None:
        return np.array([UNCOLORED], dtype=np.uint8), np.zeros(len(mesh.faces), dtype=np.int64)
    # One number for each colour: sorting those is ten times as fast as sorting rows.
    numbers = mesh.face_colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    _, first, of_face = np.unique(numbers, return_index=True, return_inverse=True)
    return mesh.face_colors[first], of_face.ravel()


def _mtl_bytes(mesh: Mesh) -> bytes:
    colors, _ = _palette(mesh)
    return b"".join(
        b"newmtl color_%02x%02x%02x\nKd %.4f %.4f %.4f\n" % (*color, *(color / 255))
        for color in colors
    )


def _obj_bytes(mesh: Mesh, library: str) -> bytes:
    # One format string for all rows is many times faster than one per row.
    chunks = [_rows("v %.9g %.9g %.9g\n", mesh.vertices)]
    if mesh.face_colors is None:
        chunks.append(_rows("f %d %d %d\n", mesh.faces + 1))
    else:
        chunks.insert(0, f"mtllib {library}\n")
        colors, of_face = _palette(mesh)
        for index, color in enumerate(colors):
            chunks.append("usemtl color_{:02x}{:02x}{:02x}\n".format(*color))
            chunks.append(_rows("f %d %d %d\n", mesh.faces[of_face == index] + 1))
    return "".join(chunks).encode()


def _obj_with_vertex_colors(mesh: Mesh, colors: np.ndarray) -> bytes:
    vertices = _rows("v %.9g %.9g %.9g %.4f %.4f %.4f\n", np.hstack([mesh.vertices, colors / 255]))
    return (vertices + _rows("f %d %d %d\n", mesh.faces + 1)).encode()


def _rows(pattern: str, table: np.ndarray) -> str:
    return (pattern * len(table)) % tuple(table.ravel().tolist())


def _ply_bytes(mesh: Mesh, vertex_colors: np.ndarray | None = None) -> bytes:
    """Pack a mesh as binary PLY, with colours of the vertices or else those of the faces."""
    face_colors = mesh.face_colors if vertex_colors is None else None
    color, channels = ("color", "u1", 3), ("red", "green", "blue")
    vertex_fields: list[tuple[Any, ...]] = [("position", "<f4", 3)]
    face_fields: list[tuple[Any, ...]] = [("count", "u1"), ("corners", "<i4", 3)]
    vertex_lines = [f"property float {axis}" for axis in "xyz"]
    face_lines = ["property list uchar int vertex_indices"]
    if vertex_colors is not None:
        vertex_fields.append(color)
        vertex_lines += [f"property uchar {channel}" for channel in channels]
    if face_colors is not None:
        face_fields.append(color)
        face_lines += [f"property uchar {channel}" for channel in channels]
    vertices = np.zeros(len(mesh.vertices), dtype=vertex_fields)
    vertices["position"] = mesh.vertices
    faces = np.zeros(len(mesh.faces), dtype=face_fields)
    faces["count"], faces["corners"] = 3, mesh.faces
    if vertex_colors is not None:
        vertices["color"] = vertex_colors
    if face_colors is not None:
        faces["color"] = face_colors
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *vertex_lines,
        f"element face {len(faces)}",
        *face_lines,
        "end_header",
        "",
    ]
    return "\n".join(lines).encode() + vertices.tobytes() + faces.tobytes()


def _stl_bytes(mesh: Mesh, up: str) -> bytes:
    fields = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")]
    faces = np.zeros(len(mesh.faces), dtype=fields)
    faces["normal"], faces["corners"] = mesh.face_normals, mesh.triangles
    # The header must not begin with "solid", which marks the text form. `up_axis` reads it.
    header = f"binary STL up={up}".encode().ljust(80)
    return header + struct.pack("<I", len(faces)) + faces.tobytes()


def _3mf_bytes(mesh: Mesh) -> bytes:
    """Pack a mesh as 3MF (core specification) with one base material per colour."""
    colors, of_face = _palette(mesh)
    materials, reference, pattern = "", "", '<triangle v1="%d" v2="%d" v3="%d"/>\n'
    triangles = mesh.faces
    if mesh.face_colors is not None:
        bases = "".join(
            f'<base name="color_{name}" displaycolor="#{name.upper()}"/>\n'
            for name in (color.tobytes().hex() for color in colors)
        )
        materials = f'<basematerials id="1">\n{bases}</basematerials>\n'
        reference = ' pid="1" pindex="0"'
        pattern = '<triangle v1="%d" v2="%d" v3="%d" pid="1" p1="%d"/>\n'
        triangles = np.column_stack([mesh.faces, of_face])
    vertices = _rows('<vertex x="%.9g" y="%.9g" z="%.9g"/>\n', mesh.vertices)
    model = f"""<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en-US" \
xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
<resources>
{materials}<object id="2" type="model"{reference}><mesh>
<vertices>
{vertices}</vertices>
<triangles>
{_rows(pattern, triangles)}</triangles>
</mesh></object>
</resources>
<build><item objectid="2"/></build>
</model>
"""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("[Content_Types].xml", _CONTENT_TYPES),
            ("_rels/.rels", _RELATIONSHIPS),
            ("3D/3dmodel.model", model),
        ):
            # A fixed time, so that the same mesh gives the same bytes.
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return stream.getvalue()


def _glb_bytes(mesh: Mesh, vertex_colors: np.ndarray | None = None) -> bytes:
    """Pack a mesh as binary glTF 2.0 with one primitive and material per colour of its faces.

    With vertex colours (V, 3) there is one white material, which they are multiplied with; they
    have 16 bits, since 8 bits of linear light are too few for dark ones. glTF is right-handed with
    +Y up and counter-clockwise front faces, as `Mesh` is. Its colours are linear. Materials are
    double-sided, because the faces of a polygon soup face both ways.
    """
    if vertex_colors is None:
        colors, of_face = _palette(mesh)
    else:
        colors, of_face = np.full((1, 3), 255, np.uint8), np.zeros(len(mesh.faces), np.int64)
    order = np.argsort(of_face, kind="stable")
    counts = np.bincount(of_face, minlength=len(colors))
    positions = mesh.vertices.astype("<f4")
    indices = mesh.faces[order].astype("<u4")
    accessors: list[dict[str, object]] = [
        {
            "bufferView": 0,
            "componentType": 5126,
            "count": len(positions),
            "type": "VEC3",
            "min": positions.min(axis=0).tolist(),
            "max": positions.max(axis=0).tolist(),
        }
    ]
    primitives: list[dict[str, Any]] = []
    materials, offset = [], 0
    for index, color in enumerate(colors):
        accessors.append(
            {
                "bufferView": 1,
                "byteOffset": offset,
                "componentType": 5125,
                "count": int(counts[index]) * 3,
                "type": "SCALAR",
            }
        )
        offset += int(counts[index]) * 12
        primitives.append({"attributes": {"POSITION": 0}, "indices": index + 1, "material": index})
        linear = linear_from_srgb(color / 255).round(6).tolist()
        materials.append(
            {
                "doubleSided": True,
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*linear, 1.0],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.8,
                },
            }
        )
    buffers = [positions.tobytes(), indices.tobytes()]
    targets = [34962, 34963]
    if vertex_colors is not None:
        rgba = np.full((len(positions), 4), 65535, "<u2")  # 8 bytes each: whole multiples of 4
        rgba[:, :3] = np.rint(linear_from_srgb(vertex_colors / 255) * 65535)
        accessors.append(
            {
                "bufferView": 2,
                "componentType": 5123,
                "normalized": True,
                "count": len(rgba),
                "type": "VEC4",
            }
        )
        primitives[0]["attributes"] = {"POSITION": 0, "COLOR_0": len(accessors) - 1}
        buffers.append(rgba.tobytes())
        targets.append(34962)
    starts = np.cumsum([0, *map(len, buffers)]).tolist()
    tree = {
        "asset": {"version": "2.0", "generator": "Triform"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
        "materials": materials,
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(buffer), "target": target}
            for start, buffer, target in zip(starts, buffers, targets, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }
    header = json.dumps(tree, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    body = b"".join(buffers)  # all are whole multiples of 4 bytes
    total = 12 + 8 + len(header) + 8 + len(body)
    return b"".join(
        (
            struct.pack("<4sII", b"glTF", 2, total),
            struct.pack("<I4s", len(header), b"JSON"),
            header,
            struct.pack("<I4s", len(body), b"BIN\0"),
            body,
        )
    )


_WITH_VERTEX_COLORS: dict[str, Callable[[Mesh, np.ndarray], bytes]] = {
    ".obj": _obj_with_vertex_colors,
    ".glb": _glb_bytes,
    ".ply": _ply_bytes,
}
