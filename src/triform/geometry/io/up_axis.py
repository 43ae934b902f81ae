"""The upright axis of mesh files: by what a file declares, else by its format.

CAD programs and 3D printers have Z up, glTF and most OBJ files Y, as this program has. COLLADA
declares its axis, which its reader applies. Imports nothing heavy: settings use it too.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from triform.geometry.mesh import Mesh

Up = Literal["auto", "y", "z"]
"""`auto` is what the file declares, else what its format has."""
UP_DESCRIPTION = (
    "Upright axis of mesh files; auto: what the file declares, else Z in STL, 3MF, STEP, IGES and "
    "VRML of CAD programs, and Y in other formats."
)

Z_UP_FORMATS = ("stl", "3mf", "step", "iges")
_STL_HEADER = 80
_STL_DECLARATION = re.compile(rb"\bup\s*[=:]\s*([yz])\b", re.IGNORECASE)
_VRML_HEAD = 4096
# VRML itself has Y up; the exporters of these programs leave their own axes.
_CAD_PROGRAMS = re.compile(
    rb"kicad|stepup|freecad|open ?cascade|solid ?works|solid ?edge|catia|pro/?engineer|\bcreo\b"
    rb"|unigraphics|siemens nx|autodesk inventor|autocad|altium|onshape|rhino",
    re.IGNORECASE,
)


def up_axis(data: bytes, file_type: str) -> Literal["y", "z"]:
    """The upright axis of a file.

    Args:
        data: its content.
        file_type: one of `triform.geometry.io.load.FORMATS`.
    """
    if file_type == "stl" and (declared := _STL_DECLARATION.search(data[:_STL_HEADER])):
        return "y" if declared[1].lower() == b"y" else "z"
    if file_type == "wrl":
        return "z" if _CAD_PROGRAMS.search(_comments(data)) else "y"
    return "z" if file_type in Z_UP_FORMATS else "y"


def upright(mesh: Mesh, up: Literal["y", "z"]) -> Mesh:
    """The mesh with +Y up, given its upright axis; what faced -Y (CAD's front) faces +Z."""
    if up == "y":
        return mesh
    return replace(mesh, vertices=mesh.vertices[:, [0, 2, 1]] * (1, 1, -1))


def _comments(data: bytes) -> bytes:
    """Comments and information nodes at the head of a VRML file, which gzip may have packed."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, _VRML_HEAD)
        except zlib.error:
            return b""
    head = data[:_VRML_HEAD]
    return b"\n".join(re.findall(rb"#[^\r\n]*|WorldInfo\s*\{[^}]*\}", head))
