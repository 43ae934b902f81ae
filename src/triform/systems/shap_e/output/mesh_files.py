"""Files of meshes with a colour at each vertex: GLB, OBJ and PLY.

Colours are sRGB in OBJ and PLY, as viewers read them. In a GLB they are linear, as glTF 2.0 wants.
(Shap-E's own exporter wrote linear colours everywhere, so that its files look too dark.)
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.geometry.colors import linear_from_srgb
from triform.geometry.mesh import Mesh

SUFFIXES = (".glb", ".obj", ".ply")
_FLOAT, _UNSIGNED_INT, _UNSIGNED_SHORT = 5126, 5125, 5123
_VERTICES, _INDICES = 34962, 34963


def save_colored_mesh(mesh: Mesh, colors: np.ndarray, path: Path) -> None:
    """Write a mesh with colours of its vertices.

    Args:
        mesh: Any mesh.
        colors: sRGB (V, 3) uint8.
        path: A file that ends in one of `SUFFIXES`.

    Raises:
        UsageError: Another suffix.
    """
    writers = {".glb": _glb, ".obj": _obj, ".ply": _ply}
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise UsageError(f"{path}: cannot write {suffix!r} files, choose {', '.join(SUFFIXES)}")
    with atomic_write(path) as file:
        file.write(writers[suffix](mesh, colors))


def _obj(mesh: Mesh, colors: np.ndarray) -> bytes:
    """`v x y z r g b`, which most programs read though no standard has it."""
    rows = np.column_stack([mesh.vertices, colors / 255])
    vertices = ("v %.9g %.9g %.9g %.6g %.6g %.6g\n" * len(rows)) % tuple(rows.ravel().tolist())
    faces = ("f %d %d %d\n" * len(mesh.faces)) % tuple((mesh.faces + 1).ravel().tolist())
    return (vertices + faces).encode()


def _ply(mesh: Mesh, colors: np.ndarray) -> bytes:
    vertices = np.zeros(len(mesh.vertices), [("position", "<f4", 3), ("color", "u1", 3)])
    vertices["position"], vertices["color"] = mesh.vertices, colors
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    return "\n".join(lines).encode() + vertices.tobytes() + faces.tobytes()


def _glb(mesh: Mesh, colors: np.ndarray) -> bytes:
    """Binary glTF 2.0 with one primitive; linear colours of 16 bits."""
    positions = mesh.vertices.astype("<f4")
    linear = np.ones((len(colors), 4))
    linear[:, :3] = linear_from_srgb(colors / 255)
    shades = np.rint(linear * 65535).astype("<u2")
    indices = mesh.faces.astype("<u4")
    parts = [positions.tobytes(), shades.tobytes(), indices.tobytes()]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": target}
        for start, part, target in zip(
            starts, parts, (_VERTICES, _VERTICES, _INDICES), strict=False
        )
    ]
    count = len(positions)
    tree = {
        "asset": {"version": "2.0", "generator": "Triform"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {
                "primitives": [
                    {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
                ]
            }
        ],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": count,
                "type": "VEC3",
                "min": positions.min(0).tolist(),
                "max": positions.max(0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": _UNSIGNED_SHORT,
                "normalized": True,
                "count": count,
                "type": "VEC4",
            },
            {
                "bufferView": 2,
                "componentType": _UNSIGNED_INT,
                "count": indices.size,
                "type": "SCALAR",
            },
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    header = json.dumps(tree, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    body = b"".join(parts)
    stream = io.BytesIO()
    stream.write(struct.pack("<4sII", b"glTF", 2, 28 + len(header) + len(body)))
    stream.write(struct.pack("<I4s", len(header), b"JSON") + header)
    stream.write(struct.pack("<I4s", len(body), b"BIN\0") + body)
    return stream.getvalue()
