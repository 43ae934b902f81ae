"""Cache keys by what a mesh is, so that every data set that holds the same object finds its arrays.

The digest of a mesh is kept under the fingerprint of its file: a mesh is read for it once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from triform.datasets.shape import Shape
from triform.datasets.shape_cache import RecordFile, compute_rows

FILE = "mesh_digests.bin"
DIGEST_BYTES = 32


def mesh_digest(shape: Shape) -> UInt8[np.ndarray, " 32"]:
    """SHA-256 of the vertices, faces and colours of the faces of a shape's mesh."""
    mesh = shape.load()
    digest = hashlib.sha256(repr((mesh.vertices.shape, mesh.faces.shape)).encode())
    for array in (mesh.vertices, mesh.faces, mesh.face_colors):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def mesh_keys(
    shapes: Sequence[Shape], folder: Path, version: str, *, processes: int = 0
) -> dict[Shape, bytes]:
    """Keys (32 bytes) of shapes in a cache, by their meshes.

    Args:
        shapes: any shapes.
        folder: of the cache; digests are kept in it.
        version: changes with the program that computes the records.
        processes: worker processes; 0 is one per core, 1 is this process.

    Returns:
        Shape -> key. A mesh that cannot be read has the key of its fingerprint.

    Raises:
        UserError: the digests cannot be written.
    """
    keys = {shape: _key(version, shape.fingerprint) for shape in shapes}
    rows = compute_rows(
        shapes,
        mesh_digest,
        lambda shape: _key("mesh digest, 1", shape.fingerprint),
        _digest_file(folder),
        cached=True,
        processes=processes,
        description="meshes",
        report_failures=False,
    )
    if len(rows):
        for shape, digest in zip(rows.shapes, rows[:], strict=True):
            keys[shape] = _key(version, digest.tobytes().hex())
    return keys


def _digest_file(folder: Path) -> RecordFile:
    return RecordFile(folder / FILE, {"triform": "mesh digests", "version": 1}, "u1", DIGEST_BYTES)


def _key(version: str, identity: str) -> bytes:
    return hashlib.sha256(f"{version}|{identity}".encode()).digest()
