"""Reading of VRML 2.0 (VRML97, `.wrl`), the format of much CAD and many museums, with its colours.

Our own reader: the available ones drop colours, need VTK, or are unmaintained. Nodes without faces
(lines, points, text), lights, sounds, scripts and animations are skipped.
"""

from __future__ import annotations

import zlib

import numpy as np

from triform.base.printable import shorten
from triform.geometry.appearance import Appearance, Material, concatenate_corners
from triform.geometry.colors import UNCOLORED, texture_means, to_bytes
from triform.geometry.io.limits import (
    MAX_CORNER_COUNT,
    MAX_FACE_COUNT,
    MAX_INSTANCE_COUNT,
    check_bytes,
    max_file_size,
)
from triform.geometry.io.parts import LeftOut
from triform.geometry.io.text import normalize_text
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.io.vrml.fields import Instance, Scope
from triform.geometry.io.vrml.parser import Node, parse_vrml
from triform.geometry.io.vrml.shapes import Surface, default_mapping, read_geometry, rotation
from triform.geometry.mesh import Mesh, MeshError

MAX_INLINE_DEPTH = 8


def read_vrml(
    data: bytes, find: FileFinder, *, appearance: bool = False, name: str = "model"
) -> Mesh:
    """Read a file, compressed by gzip or not.

    Args:
        data: content of the file.
        find: returns the content of a texture or an inlined file, or None.
        appearance: read materials, textures and vertex colours as well.
        name: name of the model in warnings.

    Raises:
        MeshError: what is wrong with it; for a syntax error, the line.
    """
    scene = _Scene(find, name)
    # Damaged numbers make numpy warn; the mesh is checked afterwards.
    with np.errstate(all="ignore"):
        scene.read(data)
        return scene.mesh(appearance)


def gunzip(data: bytes) -> bytes:
    """Decompress gzip up to the largest file that can be read.

    Raises:
        MeshError: damaged, or larger.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    parts, size = [], 0
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            parts.append(member.decompress(data, max_file_size("wrl") + 1 - size))
            size += len(parts[-1])
            check_bytes(size, "wrl")
            if not member.eof:
                raise MeshError("the packed file ends in the middle")
            # Padding may follow the last member.
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise MeshError(f"damaged gzip file ({error})") from None
    return b"".join(parts)


# Nodes of VRML97 that have no surface of their own, or are read otherwise.
_KNOWN_NODES = {
    *("Anchor", "AudioClip", "Background", "Billboard", "Collision", "ColorInterpolator"),
    *("CoordinateInterpolator", "CylinderSensor", "DirectionalLight", "Fog", "Group", "LOD"),
    *("NavigationInfo", "NormalInterpolator", "OrientationInterpolator", "PlaneSensor"),
    *("PointLight", "PositionInterpolator", "ProximitySensor", "ScalarInterpolator", "Script"),
    *("Sound", "SphereSensor", "SpotLight", "Switch", "TimeSensor", "TouchSensor", "Transform"),
    *("Viewpoint", "VisibilitySensor", "WorldInfo"),
}


class _Scene:
    """The surfaces, materials and files of a scene while it is read."""

    def __init__(self, find: FileFinder, name: str) -> None:
        self.find = find
        self.files: dict[str, list[Node]] = {}
        self.textures = Textures(find, name)
        # The scope is stored as well, so that its id is not reused.
        self.surfaces: dict[tuple[int, int], tuple[Scope, Surface | None]] = {}
        self.material_index: dict[tuple[bytes, float, str], int] = {}
        self.materials: list[Material] = []
        # Surfaces in world coordinates, the colours of their faces, and their materials.
        self.parts: list[tuple[Surface, np.ndarray, int]] = []
        self.num_visits, self.num_faces, self.remaining_corners = 0, 0, MAX_CORNER_COUNT
        self.is_colored = False
        self.left_out = LeftOut()
        self.missing: set[tuple[str, ...]] = set()

    def read(self, data: bytes) -> None:
        """Traverse all nodes of a file and of the files that it inlines."""
        no_files: frozenset[str] = frozenset()
        stack = [(Instance(node, {}), np.eye(4), no_files) for node in reversed(_parse(data))]
        while stack:
            instance, matrix, files = stack.pop()
            self.num_visits += 1
            if self.num_visits > MAX_INSTANCE_COUNT:
                raise MeshError(f"its scene has more than {MAX_INSTANCE_COUNT} parts")
            if instance.node.prototype is not None:
                expanded = instance.expand()
                children = [] if expanded is None else [expanded]
            elif instance.type == "Shape":
                self.add_shape(instance, matrix)
                continue
            elif instance.type == "Inline":
                children, files = self.inline(instance, files)
            else:
                children = _children(instance)
                if instance.type not in _KNOWN_NODES:
                    self.left_out.add(f"node{{s}} of the unknown kind {shorten(instance.type)}")
                elif instance.type == "Switch" and not children:
                    self.left_out.add("Switch node{s} without a choice")
                if instance.type == "Transform":
                    matrix = matrix @ _transform(instance)
            stack += [(child, matrix, files) for child in reversed(children)]

    def inline(
        self, instance: Instance, files: frozenset[str]
    ) -> tuple[list[Instance], frozenset[str]]:
        """Read the first existing file of an Inline node."""
        for name in instance.texts("url"):
            if name in files or len(files) >= MAX_INLINE_DEPTH:
                raise MeshError(f"it places {name!r} within itself")
            if name not in self.files:
                data = self.find(name)
                self.files[name] = _parse(data) if data else []
            if self.files[name]:
                return [Instance(node, {}) for node in self.files[name]], files | {name}
        self.left_out.add("Inline node{s} whose file is not in the folder of the model")
        return [], files

    def add_shape(self, shape: Instance, matrix: np.ndarray) -> None:
        """Add the surface of a Shape node with its material."""
        if not shape.nodes("geometry"):
            return  # it only defines a material, as in KiCad's files
        geometry = shape.first("geometry")
        surface = self.surface(geometry) if geometry else None
        if surface is None:
            self.left_out.add("shape{s} without faces (lines, points or text)")
            return
        count = len(surface.faces)
        self.num_faces += count
        if self.num_faces > MAX_FACE_COUNT:
            raise MeshError(f"more than {MAX_FACE_COUNT} faces; simplify the model first")
        appearance = shape.first("appearance")
        material = appearance.first("material") if appearance else None
        color, opacity = _color(material)
        texture, uv = "", surface.uv
        if surface.colors is not None:
            # Colours of the geometry replace those of its material and texture.
            face_colors = surface.colors.mean(axis=1).astype(np.uint8)
        elif appearance and (texture := self.texture(appearance)):
            uv = default_mapping(surface) if uv is None else uv
            uv = _transform_uv(appearance.first("textureTransform"), uv)
            pixels = self.textures.get(texture)
            assert pixels is not None
            face_colors = texture_means(pixels[..., :3], uv)
        else:
            face_colors = np.tile(color, (count, 1))
        self.is_colored |= bool(material or texture or surface.colors is not None)
        if texture or surface.colors is not None:
            color = np.full(3, 255, dtype=np.uint8)
        key = (color.tobytes(), opacity, texture)
        if key not in self.material_index:
            self.material_index[key] = len(self.materials)
            pixels = self.textures.get(texture) if texture else None
            self.materials.append(Material(color, pixels, opacity))
        # A reflection inverts the winding of the faces.
        corner_order = slice(None, None, -1 if np.linalg.det(matrix[:3, :3]) < 0 else 1)
        placed = Surface(
            surface.vertices @ matrix[:3, :3].T + matrix[:3, 3],
            surface.faces[:, corner_order],
            None if surface.colors is None else surface.colors[:, corner_order],
            uv[:, corner_order] if texture and uv is not None else None,
        )
        self.parts.append((placed, face_colors, self.material_index[key]))

    def surface(self, geometry: Instance) -> Surface | None:
        """Triangulate a geometry node, once for all its uses."""
        key = (id(geometry.node), id(geometry.scope))
        if key not in self.surfaces:
            surface = read_geometry(geometry)
            self.surfaces[key] = (geometry.scope, surface)
            # Line sets count as well.
            self.remaining_corners -= len(geometry.numbers("coordIndex"))
            self.remaining_corners -= 0 if surface is None else surface.faces.size
            if self.remaining_corners < 0:
                raise MeshError("its shapes have too many corners; simplify the model first")
        return self.surfaces[key][1]

    def texture(self, appearance: Instance) -> str:
        """Return the name of the first existing texture of an Appearance node, or ""."""
        node = appearance.first("texture")
        if node is None:
            return ""
        names = tuple(node.texts("url"))
        for name in names:
            if self.textures.get(name, may_miss=True) is not None:
                return name
        if not names:
            self.left_out.add(f"texture{{s}} by the node {shorten(node.type)}")
        elif names not in self.missing and all(self.find(name) is None for name in names):
            self.missing.add(names)
            self.textures.report_later(f"{shorten(names[0])}: not in the folder of the model")
        return ""

    def mesh(self, appearance: bool) -> Mesh:
        """Concatenate the surfaces."""
        if not self.parts:
            raise self.left_out.no_faces()
        self.textures.report_problems()
        self.left_out.warn(self.textures.model)
        surfaces, face_colors, materials = map(list, zip(*self.parts, strict=True))
        starts = np.cumsum([0] + [len(surface.vertices) for surface in surfaces])
        counts = [len(surface.faces) for surface in surfaces]
        mesh_appearance = None
        if appearance and self.is_colored:
            white = np.full((3, 3), 255, np.uint8)
            mesh_appearance = Appearance(
                np.repeat(materials, counts),
                tuple(self.materials),
                concatenate_corners([part.uv for part in surfaces], counts, np.zeros((3, 2))),
                concatenate_corners([part.colors for part in surfaces], counts, white),
            )
        return Mesh(
            np.concatenate([part.vertices for part in surfaces]),
            np.concatenate([p.faces + start for p, start in zip(surfaces, starts, strict=False)]),
            np.concatenate(face_colors) if self.is_colored else None,
            mesh_appearance,
        )


def _parse(data: bytes) -> list[Node]:
    data = normalize_text(gunzip(data))
    if data.startswith(b"#VRML V1.0"):
        raise MeshError("VRML 1.0 is not read; save the model as VRML 2.0 (VRML97)")
    if not data.startswith(b"#VRML V2.0"):
        raise MeshError("damaged, or no VRML file: it does not begin with #VRML V2.0")
    return parse_vrml(data)


def _children(instance: Instance) -> list[Instance]:
    """Return the visible children of a node, before any event."""
    match instance.type:
        case "Switch":
            which = instance.integers("whichChoice")
            choice = int(which[0]) if len(which) else -1
            return instance.nodes("choice")[choice : choice + 1] if choice >= 0 else []
        case "LOD":
            return instance.nodes("level")[:1]  # the finest
        case _:
            return instance.nodes("children")


def _transform(instance: Instance) -> np.ndarray:
    """Return the (4, 4) matrix of a Transform node (VRML97 6.52)."""
    center = _translation(instance.vector("center", (0, 0, 0)))
    rotation_matrix, scale_axes, scale = np.eye(4), np.eye(4), np.eye(4)
    rotation_matrix[:3, :3] = rotation(instance.vector("rotation", (0, 0, 1, 0)))
    scale_axes[:3, :3] = rotation(instance.vector("scaleOrientation", (0, 0, 1, 0)))
    scale[range(3), range(3)] = instance.vector("scale", (1, 1, 1))
    inverse_center = _translation(-instance.vector("center", (0, 0, 0)))
    translation = _translation(instance.vector("translation", (0, 0, 0)))
    return np.asarray(
        translation @ center @ rotation_matrix @ scale_axes @ scale @ scale_axes.T @ inverse_center
    )


def _translation(offset: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def _color(material: Instance | None) -> tuple[np.ndarray, float]:
    """Return the colour (3,) uint8, diffuse plus emissive, and the opacity of a material."""
    if material is None:
        return np.array(UNCOLORED, dtype=np.uint8), 1.0
    rgb = material.vector("diffuseColor", (0.8, 0.8, 0.8))
    rgb = rgb + material.vector("emissiveColor", (0, 0, 0))
    transparency = float(material.vector("transparency", (0,))[0])
    return to_bytes(rgb), 1 - transparency if 0 <= transparency <= 1 else 1.0


def _transform_uv(node: Instance | None, uv: np.ndarray) -> np.ndarray:
    """Apply a TextureTransform node to texture coordinates."""
    if node is None:
        return uv
    center = node.vector("center", (0, 0))
    angle = float(node.vector("rotation", (0,))[0])
    rotation_matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    translation = (uv + node.vector("translation", (0, 0)) + center) @ rotation_matrix.T
    return np.asarray(translation * node.vector("scale", (1, 1)) - center)
