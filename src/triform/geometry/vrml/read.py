"""Reading VRML 2.0 (VRML97, `.wrl`), the format of much CAD and many museums, with its colours.

Our own reader: the general ones leave colours out, need VTK, or are no longer kept. Nodes without
faces (lines, points, text), lights, sounds and scripts are skipped; so is what animations would do.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED, texture_means, to_bytes
from triform.geometry.limits import (
    LARGEST_FACE_COUNT,
    LARGEST_INSTANCE_COUNT,
    LARGEST_ITEM_COUNT,
    check_bytes,
    largest_size,
)
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.textures import Find, Textures
from triform.geometry.vrml.fields import Placed, Surroundings
from triform.geometry.vrml.shapes import Surface, default_mapping, read_geometry, rotation
from triform.geometry.vrml.syntax import Node, parse_vrml

LARGEST_INLINE_DEPTH = 8


def read_vrml(data: bytes, find: Find, *, appearance: bool = False, name: str = "model") -> Mesh:
    """Read a file, packed by gzip or not.

    Args:
        data: content of the file.
        find: gives the content of a texture or of another file that this one places, or None.
        appearance: keep materials, textures and vertex colours as well.
        name: what a warning calls the model.

    Raises:
        MeshError: what is wrong with it; where the grammar is broken, the line.
    """
    scene = _Scene(find, name)
    # Damaged numbers make numpy warn; what they lead to is checked by the mesh.
    with np.errstate(all="ignore"):
        scene.read(data)
        return scene.mesh(appearance)


def unpack(data: bytes) -> bytes:
    """Undo gzip, as far as there is memory to read what comes out.

    Raises:
        MeshError: damaged, or larger.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    parts, size = [], 0
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            parts.append(member.decompress(data, largest_size("wrl") + 1 - size))
            size += len(parts[-1])
            check_bytes(size, "wrl")
            if not member.eof:
                raise MeshError("the packed file ends in the middle")
            # Padding may follow the last of several packed pieces.
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise MeshError(f"damaged gzip file ({error})") from None
    return b"".join(parts)


@dataclass(frozen=True, eq=False)
class _Part:
    """One shape where it is placed; `uv` and `corner_colors` are of corners, or None."""

    vertices: np.ndarray
    faces: np.ndarray
    face_colors: np.ndarray
    look: int
    uv: np.ndarray | None
    corner_colors: np.ndarray | None


class _Scene:
    """What has been read of a scene so far."""

    def __init__(self, find: Find, name: str) -> None:
        self.find = find
        self.files: dict[str, list[Node]] = {}
        self.textures = Textures(find, name)
        # With the surroundings, so that their identity is not given to others.
        self.surfaces: dict[tuple[int, int], tuple[Surroundings, Surface | None]] = {}
        self.looks: dict[tuple[bytes, float, str], int] = {}
        self.materials: list[Material] = []
        self.parts: list[_Part] = []
        self.visits, self.num_faces, self.corners_left = 0, 0, LARGEST_ITEM_COUNT
        self.is_colored = False

    def read(self, data: bytes) -> None:
        """Visit all nodes of a file, and of those that it places."""
        nothing: frozenset[str] = frozenset()
        stack = [(Placed(node, {}), np.eye(4), nothing) for node in reversed(_parse(data))]
        while stack:
            placed, matrix, files = stack.pop()
            self.visits += 1
            if self.visits > LARGEST_INSTANCE_COUNT:
                raise MeshError(f"its scene has more than {LARGEST_INSTANCE_COUNT} parts")
            if placed.node.prototype is not None:
                inner = placed.unfold()
                children = [] if inner is None else [inner]
            elif placed.type == "Shape":
                self.add_shape(placed, matrix)
                continue
            elif placed.type == "Inline":
                children, files = self.inline(placed, files)
            else:
                children = _children(placed)
                if placed.type == "Transform":
                    matrix = matrix @ _transform(placed)
            stack += [(child, matrix, files) for child in reversed(children)]

    def inline(self, placed: Placed, files: frozenset[str]) -> tuple[list[Placed], frozenset[str]]:
        """Read the first file that an Inline names and that is there."""
        for name in placed.texts("url"):
            if name in files or len(files) >= LARGEST_INLINE_DEPTH:
                raise MeshError(f"it places {name!r} within itself")
            if name not in self.files:
                data = self.find(name)
                self.files[name] = _parse(data) if data else []
            if self.files[name]:
                return [Placed(node, {}) for node in self.files[name]], files | {name}
        return [], files

    def add_shape(self, shape: Placed, matrix: np.ndarray) -> None:
        """Place a shape with its colours."""
        geometry = shape.first("geometry")
        surface = self.surface(geometry) if geometry else None
        if surface is None:
            return
        count = len(surface.faces)
        self.num_faces += count
        if self.num_faces > LARGEST_FACE_COUNT:
            raise MeshError(f"more than {LARGEST_FACE_COUNT} faces; simplify the model first")
        appearance = shape.first("appearance")
        material = appearance.first("material") if appearance else None
        color, opacity = _color(material)
        texture, uv = "", surface.uv
        if surface.colors is not None:
            # Colours of the shape itself stand in place of its material's and of a texture.
            face_colors = surface.colors.mean(axis=1).astype(np.uint8)
        elif appearance and (texture := self.texture(appearance)):
            uv = default_mapping(surface) if uv is None else uv
            uv = _move_texture(appearance.first("textureTransform"), uv)
            pixels = self.textures.get(texture)
            assert pixels is not None
            face_colors = texture_means(pixels[..., :3], uv)
        else:
            face_colors = np.tile(color, (count, 1))
        self.is_colored |= bool(material or texture or surface.colors is not None)
        if texture or surface.colors is not None:
            color = np.full(3, 255, dtype=np.uint8)
        key = (color.tobytes(), opacity, texture)
        if key not in self.looks:
            self.looks[key] = len(self.materials)
            pixels = self.textures.get(texture) if texture else None
            self.materials.append(Material(color, pixels, opacity))
        # A mirroring transform turns the faces inside out.
        order = slice(None, None, -1 if np.linalg.det(matrix[:3, :3]) < 0 else 1)
        self.parts.append(
            _Part(
                surface.vertices @ matrix[:3, :3].T + matrix[:3, 3],
                surface.faces[:, order],
                face_colors,
                self.looks[key],
                uv[:, order] if texture and uv is not None else None,
                None if surface.colors is None else surface.colors[:, order],
            )
        )

    def surface(self, geometry: Placed) -> Surface | None:
        """Cut a geometry into triangles, once however often it is used."""
        key = (id(geometry.node), id(geometry.around))
        if key not in self.surfaces:
            made = read_geometry(geometry)
            self.surfaces[key] = (geometry.around, made)
            # Lines of a set, too, take their time.
            self.corners_left -= len(geometry.numbers("coordIndex"))
            self.corners_left -= 0 if made is None else made.faces.size
            if self.corners_left < 0:
                raise MeshError("its shapes have too many corners; simplify the model first")
        return self.surfaces[key][1]

    def texture(self, appearance: Placed) -> str:
        """Read the first picture that an appearance names and that is there; return its name."""
        node = appearance.first("texture")
        for name in node.texts("url") if node else []:
            if self.textures.get(name, may_miss=True) is not None:
                return name
        return ""

    def mesh(self, appearance: bool) -> Mesh:
        """Join what has been placed."""
        if not self.parts:
            raise MeshError("there are no faces in it")
        self.textures.finish()
        parts = self.parts
        starts = np.cumsum([0] + [len(part.vertices) for part in parts])
        look = None
        if appearance and self.is_colored:
            counts = [len(part.faces) for part in parts]
            look = Appearance(
                np.repeat([part.look for part in parts], counts),
                tuple(self.materials),
                _corners([part.uv for part in parts], counts, np.zeros((3, 2))),
                _corners([p.corner_colors for p in parts], counts, np.full((3, 3), 255, np.uint8)),
            )
        return Mesh(
            np.concatenate([part.vertices for part in parts]),
            np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.face_colors for part in parts]) if self.is_colored else None,
            look,
        )


def _parse(data: bytes) -> list[Node]:
    data = unpack(data).removeprefix(b"\xef\xbb\xbf")
    if data.startswith(b"#VRML V1.0"):
        raise MeshError("VRML 1.0 is not read; save the model as VRML 2.0 (VRML97)")
    if not data.startswith(b"#VRML V2.0"):
        raise MeshError("damaged, or no VRML file: it does not begin with #VRML V2.0")
    return parse_vrml(data)


def _children(placed: Placed) -> list[Placed]:
    """The nodes below one, as it is shown at first."""
    match placed.type:
        case "Switch":
            which = placed.integers("whichChoice")
            shown = int(which[0]) if len(which) else -1
            return placed.nodes("choice")[shown : shown + 1] if shown >= 0 else []
        case "LOD":
            return placed.nodes("level")[:1]  # the finest
        case _:
            return placed.nodes("children")


def _transform(placed: Placed) -> np.ndarray:
    """The matrix of a Transform: scaled along turned axes and rotated about a centre, moved."""
    center = _moved(placed.vector("center", (0, 0, 0)))
    turn, axes, scale = np.eye(4), np.eye(4), np.eye(4)
    turn[:3, :3] = rotation(placed.vector("rotation", (0, 0, 1, 0)))
    axes[:3, :3] = rotation(placed.vector("scaleOrientation", (0, 0, 1, 0)))
    scale[range(3), range(3)] = placed.vector("scale", (1, 1, 1))
    back = _moved(-placed.vector("center", (0, 0, 0)))
    moved = _moved(placed.vector("translation", (0, 0, 0)))
    return np.asarray(moved @ center @ turn @ axes @ scale @ axes.T @ back)


def _moved(offset: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def _color(material: Placed | None) -> tuple[np.ndarray, float]:
    """The colour (3,) uint8 and the opacity of a material: what it reflects and what it sends."""
    if material is None:
        return np.array(UNCOLORED, dtype=np.uint8), 1.0
    light = material.vector("diffuseColor", (0.8, 0.8, 0.8))
    light = light + material.vector("emissiveColor", (0, 0, 0))
    clear = float(material.vector("transparency", (0,))[0])
    return to_bytes(light), 1 - clear if 0 <= clear <= 1 else 1.0


def _move_texture(node: Placed | None, uv: np.ndarray) -> np.ndarray:
    """Apply a TextureTransform to texture coordinates."""
    if node is None:
        return uv
    center = node.vector("center", (0, 0))
    angle = float(node.vector("rotation", (0,))[0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (uv + node.vector("translation", (0, 0)) + center) @ turn.T
    return np.asarray(moved * node.vector("scale", (1, 1)) - center)


def _corners(
    arrays: list[np.ndarray | None], counts: list[int], empty: np.ndarray
) -> np.ndarray | None:
    """Join arrays of corners, those that are missing filled; None where all are missing."""
    if all(array is None for array in arrays):
        return None
    pairs = zip(arrays, counts, strict=True)
    return np.concatenate([np.tile(empty, (n, 1, 1)) if a is None else a for a, n in pairs])
