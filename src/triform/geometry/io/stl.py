"""Reading of STL, binary or text, with the colours that some programs put into its spare bytes.

Our own reader, because the available ones take the header's count and the words at the end of
the text for granted.
"""

from __future__ import annotations

import re
from array import array

import numpy as np

from triform.geometry.colors import UNCOLORED
from triform.geometry.io.parts import LeftOut, appearance_of_corners, colored_mesh, without_mark
from triform.geometry.io.polygons import triangulate
from triform.geometry.mesh import Mesh, MeshError, weld

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER_SIZE = 84
# In lower case, which is searched much faster than either. Names of solids may hold any words.
_SOLID_LINE = re.compile(rb"(?m)^[ \t]*(?:end[ \t]*)?solid\b(?:(?!\bfacet[ \t]+normal\b)[^\n])*")
_WORDS = re.compile(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)|(end\s*loop)|end\s*facet|(facet)")

_BLOCK_SIZE = 2**24
# Words of a facet; numbers are empty.
_FACET_WORDS = b"facet normal    outer loop vertex    vertex    vertex    endloop endfacet".split(
    b" "
)


def read_stl(data: bytes, *, name: str = "model") -> Mesh:
    """Read the facets of all solids of a file.

    Args:
        data: content of the file.
        name: name of the model in warnings.

    Raises:
        MeshError: damaged, cut off, or without faces.
    """
    data, left_out = without_mark(data), LeftOut()
    mesh = _read_text(data, left_out) if _is_text(data) else _read_binary(data, left_out)
    left_out.warn(name)
    return mesh


def _is_text(data: bytes) -> bool:
    """Return whether a file is text; some binary ones begin with "solid" as well."""
    if len(data) >= _HEADER_SIZE and len(data) == _HEADER_SIZE + 50 * _promised(data):
        return False
    start = data[:500].rstrip(b"\0").lower()
    return b"\0" not in start and re.search(rb"^\s*solid\b|\bfacet\s+normal\b", start) is not None


def _promised(data: bytes) -> int:
    return int.from_bytes(data[80:84], "little")


def _read_binary(data: bytes, left_out: LeftOut) -> Mesh:
    if len(data) < _HEADER_SIZE:
        raise MeshError(
            f"damaged, or no STL file: it is no text, and binary ones have at least "
            f"{_HEADER_SIZE} bytes, this one {len(data)}"
        )
    promised, available = _promised(data), (len(data) - _HEADER_SIZE) // 50
    remainder = (len(data) - _HEADER_SIZE) % 50
    facets = np.frombuffer(data, _FACET, available, _HEADER_SIZE)
    if promised > available:
        # Programs that write while they compute leave a wrong count before a complete surface.
        if remainder or not available or not _is_closed(facets["corners"]):
            raise MeshError(
                f"damaged, cut off, or no STL file: it promises {promised} faces, its {len(data)} "
                f"bytes hold {available}"
            )
        left_out.note(_wrong_count(promised, available))
    elif promised < available or remainder:
        if promised < available and not remainder and _are_facets(facets, promised):
            left_out.note(_wrong_count(promised, available))
        else:
            left_out.add("byte{s} behind the data", len(data) - _HEADER_SIZE - 50 * promised)
            facets = facets[:promised]
    if not len(facets):
        raise MeshError("there are no faces in it: its header promises 0 faces")
    vertices = facets["corners"].reshape(-1, 3).astype(np.float64)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    rgba = _colors(data[:80], facets["attribute"].astype(np.int64))
    appearance = None if rgba is None else appearance_of_corners(rgba[:, None])
    return colored_mesh(vertices, faces, appearance)


def _wrong_count(promised: int, available: int) -> str:
    return f"its header promises {promised} faces, it has {available}; all are read"


def _is_closed(corners: np.ndarray) -> bool:
    """Return whether every edge of triangles occurs once in each direction."""
    if not np.isfinite(corners).all():
        return False
    faces = weld(Mesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))).faces
    if (np.sort(faces, axis=1)[:, :-1] == np.sort(faces, axis=1)[:, 1:]).any():
        return False
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    size = int(faces.max()) + 1
    forward = np.sort(edges[:, 0] * size + edges[:, 1])
    return np.array_equal(forward, np.sort(edges[:, 1] * size + edges[:, 0]))


def _are_facets(facets: np.ndarray, promised: int) -> bool:
    """Return whether what follows the promised facets looks like facets as well."""
    more = facets[promised:]
    corners = more["corners"].astype(np.float64)
    if not np.isfinite(corners).all() or not np.isfinite(more["normal"]).all():
        return False
    size = np.abs(corners).max()
    if not 1e-12 < size < 1e12 or (promised and size > 100 * np.abs(facets["corners"]).max()):
        return False
    # Bytes that are no numbers often look like very small ones.
    if (
        promised
        and np.ptp(corners, axis=(0, 1)).max()
        < 1e-6 * np.ptp(facets["corners"][:promised], axis=(0, 1)).max()
    ):
        return False
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(crosses, axis=1)
    normals = more["normal"].astype(np.float64)
    sizes = np.linalg.norm(normals, axis=1)
    agrees = (sizes < 1e-6) | (np.einsum("fk,fk->f", crosses, normals) > 0.9 * lengths * sizes)
    return bool((lengths > 0).mean() > 0.9 and agrees.mean() > 0.9)


def _colors(header: bytes, attributes: np.ndarray) -> np.ndarray | None:
    """Read (F, 4) uint8 colours as Materialise Magics or VisCAM store them, or None."""
    channels = [(attributes >> shift & 31) * 255 / 31 for shift in (0, 5, 10)]
    has_flag = attributes >> 15 == 1
    facet_colors = np.stack([*channels, np.full(len(attributes), 255.0)], axis=1)
    _, marker, color = header.partition(b"COLOR=")
    if marker and len(color) >= 4:
        base = np.frombuffer(color, np.uint8, 4)
        rgba = np.where(has_flag[:, None], base, facet_colors)
    elif has_flag.any():
        rgba = np.where(has_flag[:, None], facet_colors[:, [2, 1, 0, 3]], (*UNCOLORED, 255))
    else:
        return None
    return np.asarray(np.rint(rgba)).astype(np.uint8)


def _read_text(data: bytes, left_out: LeftOut) -> Mesh:
    data = data.rstrip(b"\0").replace(b"\r", b"\n").lower()
    if not re.search(rb"\bend\s*solid\b", data[-1000:]):
        left_out.note("it does not end in endsolid; the file may be cut off")
    text = _SOLID_LINE.sub(b"", data)
    regular = _read_regular(text)
    if regular is not None:
        return Mesh(regular, np.arange(len(regular)).reshape(-1, 3))
    positions, sizes = array("d"), array("q")
    size = num_facets = 0
    for match in _WORDS.finditer(text):
        x, y, z, loop_end, facet = match.groups()
        if x is not None:
            try:
                positions.extend((float(x), float(y), float(z)))
            except ValueError:
                shown = b" ".join((x, y, z)).decode("utf-8", errors="replace")
                raise MeshError(
                    f"damaged, or no STL file: vertex {shown!r} of face {num_facets} is no three "
                    "numbers"
                ) from None
            size += 1
        elif loop_end:
            sizes.append(size)
            size = 0
        elif facet:
            num_facets += 1
    if size or num_facets > len(sizes):
        raise MeshError(
            f"damaged or cut off: it begins {num_facets} faces and ends {len(sizes)} of them"
        )
    if not sizes:
        raise MeshError("there are no faces in it: the text has no facet")
    vertices = np.frombuffer(positions, dtype=np.float64).reshape(-1, 3)
    counts = np.frombuffer(sizes, dtype=np.int64)
    left_out.add("face{s} of fewer than three corners", int((counts < 3).sum()))
    triangles, _ = triangulate(vertices, np.arange(len(vertices)), counts)
    if not len(triangles):
        raise left_out.no_faces()
    return Mesh(vertices, triangles)


def _read_regular(text: bytes) -> np.ndarray | None:
    """Return the vertices of a text all of whose facets have the usual 21 words, or None.

    Faster than the search for words; in blocks, because words take many times their bytes.
    """
    tables, start = [], 0
    while start < len(text):
        stop = text.rfind(_FACET_WORDS[-1], start, start + _BLOCK_SIZE)
        if stop < 0:
            break
        stop += len(_FACET_WORDS[-1])
        table = _read_facets(text[start:stop].split())
        if table is None:
            return None
        tables.append(table)
        start = stop
    is_complete = tables and not text[start:].strip()
    return np.concatenate(tables).reshape(-1, 3) if is_complete else None


def _read_facets(words: list[bytes]) -> np.ndarray | None:
    """Return (F, 9) coordinates, or None if a facet has other words."""
    count = len(words) // len(_FACET_WORDS)
    for position, word in enumerate(_FACET_WORDS):
        column = words[position :: len(_FACET_WORDS)] if word else ()
        if word and (len(column) != count or column.count(word) != count):
            return None
    table = np.empty((count, 9))
    coordinates = [i for i, word in enumerate(_FACET_WORDS) if not word and i > 4]
    try:
        for number, position in enumerate(coordinates):
            table[:, number] = list(map(float, words[position :: len(_FACET_WORDS)]))
    except ValueError:
        return None
    return table
