"""Reading of COLLADA (DAE) by pycollada, with its up axis and the colours of its materials."""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import unquote, urlparse
from xml.etree.ElementTree import iterparse

import collada
import numpy as np
from collada.material import Map
from collada.polylist import Polylist
from collada.triangleset import TriangleSet

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import to_bytes
from triform.geometry.io.limits import Tree, check_tree
from triform.geometry.io.parts import (
    LeftOut,
    check_face_count,
    colored_mesh,
    concatenate,
    transform_mesh,
)
from triform.geometry.io.polygons import triangulate
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.mesh import Mesh, MeshError

_ROOT = b'<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema"'
# Rotations of the declared up axis to +Y, as the standard defines them.
_TO_Y_UP = {
    "X_UP": np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float64),
    "Z_UP": np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64),
}


def read_dae(data: bytes, find: FileFinder, *, name: str = "model") -> Mesh:
    """Read the scene of a file, turned to +Y up as the file declares its axes.

    Args:
        data: content of the file.
        find: returns the content of its textures, or None.
        name: name of the model in warnings.

    Raises:
        MeshError: without faces, or too many.
        Exception: whatever pycollada raises on damaged files.
    """
    # Some files have a blank line before the declaration, or no namespace.
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    data = re.sub(rb"<COLLADA(?![^>]*xmlns)", _ROOT, data[:2000], count=1) + data[2000:]
    check_tree(_scene_tree(data), "scene")
    document = collada.Collada(io.BytesIO(data), ignore=[collada.common.DaeError])
    textures = Textures(find, name)
    reader = _Reader(textures)
    axes = _TO_Y_UP.get(document.assetInfo.upaxis or "Y_UP", np.eye(4))
    if document.scene is None:
        raise MeshError("there are no faces in it: it shows no scene")
    parts = reader.parts(document.scene.nodes, axes)
    reader.left_out.add(
        f"element{{s}} that cannot be read (the first: {_first_error(document)})",
        len(document.errors),
    )
    if not parts:
        count = len(document.geometries)
        raise reader.left_out.no_faces(
            f"its scene places none of its {count} meshes" if count else "it holds no mesh"
        )
    textures.report_problems()
    reader.left_out.warn(name)
    return concatenate(parts)


def _scene_tree(data: bytes) -> Tree:
    """Map every node of a file to its children and the nodes it refers to."""
    children: Tree = {"scene": []}
    stack: list[Any] = ["scene"]
    for event, element in iterparse(io.BytesIO(data), events=("start", "end")):
        name = element.tag.rpartition("}")[2]
        if name == "node" and event == "start":
            key = "#" + element.get("id", f"node {len(children)}")
            children.setdefault(stack[-1], []).append(key)
            stack.append(key)
        elif name == "node":
            children.setdefault(stack.pop(), [])
        elif name in ("instance_node", "instance_geometry") and event == "start":
            children.setdefault(stack[-1], []).append(element.get("url", ""))
        if event == "end":
            element.clear()
    return children


def _first_error(document: Any) -> str:
    text = " ".join(str(document.errors[0]).split()) if document.errors else ""
    # Names in messages have their namespace before them.
    return re.sub(r"\{[^}]*\}|https?://\S*Schema\}?|[{}]", "", text)[:80]


class _Reader:
    """The instances of a scene; each geometry is triangulated once for each set of materials."""

    def __init__(self, textures: Textures) -> None:
        self.textures = textures
        self.left_out = LeftOut()
        self.meshes: dict[tuple[Any, ...], tuple[Any, Mesh | None]] = {}

    def parts(self, nodes: list[Any], axes: np.ndarray) -> list[Mesh]:
        """Return the meshes below nodes, transformed."""
        parts: list[Mesh] = []
        num_faces = 0
        stack = [(node, axes) for node in reversed(nodes)]
        while stack:
            node, matrix = stack.pop()
            geometry, local = _geometry(node)
            if geometry is not None:
                for primitive in geometry.primitives:
                    mesh = self.primitive(primitive, node)
                    if mesh is not None:
                        num_faces += len(mesh.faces)
                        check_face_count(num_faces)
                        parts.append(transform_mesh(mesh, matrix @ local))
            elif isinstance(node, collada.scene.Node):
                inner = matrix @ np.asarray(node.matrix, dtype=np.float64)
                stack += [(child, inner) for child in reversed(node.children or [])]
        return parts

    def primitive(self, primitive: Any, node: Any) -> Mesh | None:
        """Triangulate a primitive; lines are counted as left out."""
        materials = {each.symbol: each for each in node.materials}
        bound = materials.get(primitive.material)
        key = (id(primitive), id(bound.target) if bound else None)
        if key not in self.meshes:
            # The primitive is stored as well, so that its id is not reused.
            self.meshes[key] = (primitive, self._triangulate(primitive, bound))
        return self.meshes[key][1]

    def _triangulate(self, primitive: Any, bound: Any) -> Mesh | None:
        if not isinstance(primitive, (TriangleSet, Polylist)):
            self.left_out.add("primitive{s} of lines")
            return None
        holes = sum(1 for child in primitive.xmlnode if str(child.tag).endswith("}ph"))
        self.left_out.add("polygon{s} with holes", holes)
        index = primitive.index
        if holes and not len(index):
            return None
        if index is None or not len(index) or primitive.vertex is None:
            self.left_out.add("primitive{s} without faces")
            return None
        index = index.reshape(-1, index.shape[-1])
        vertices = np.asarray(primitive.vertex, dtype=np.float64)
        corners = index[:, primitive.sources["VERTEX"][0][0]].astype(np.int64)
        is_polygons = isinstance(primitive, Polylist)
        sizes = np.asarray(primitive.vcounts) if is_polygons else np.full(len(corners) // 3, 3)
        sizes = sizes.astype(np.int64)
        if sizes.sum() > len(corners) or sizes.min(initial=0) < 0:
            raise MeshError(
                f"damaged: polygons have {sizes.sum()} corners, but there are {len(corners)}"
            )
        self._check_count(primitive, len(sizes) + holes)
        self.left_out.add("face{s} of fewer than three corners", int((sizes < 3).sum()))
        triangles, _ = triangulate(vertices, corners[: sizes.sum()], sizes)
        if not len(triangles):
            return None
        used, faces = np.unique(corners[triangles], return_inverse=True)
        appearance = self._appearance(primitive, bound, index, triangles)
        return colored_mesh(vertices[used], faces.reshape(-1, 3), appearance)

    def _check_count(self, primitive: Any, count: int) -> None:
        """Count the faces that a primitive promises and does not have."""
        tag = str(primitive.xmlnode.tag).rpartition("}")[2]
        promised = primitive.xmlnode.get("count", "")
        if promised.isdigit() and tag in ("triangles", "polylist", "polygons"):
            self.left_out.add("promised face{s} that the file does not have", int(promised) - count)

    def _appearance(
        self, primitive: Any, bound: Any, index: np.ndarray, triangles: np.ndarray
    ) -> Appearance | None:
        corner_colors = None
        for offset, _, _, _, source in primitive.sources.get("COLOR", [])[:1]:
            palette = to_bytes(np.asarray(source.data, dtype=np.float64)[:, :3])
            rows = index[:, offset][triangles]
            if palette.shape[1] == 3 and rows.min() >= 0 and rows.max() < len(palette):
                corner_colors = palette[rows]
        effect = getattr(bound.target, "effect", None) if bound else None
        if effect is None and corner_colors is None:
            return None
        material, texture_set = Material(np.full(3, 255, dtype=np.uint8)), None
        if effect is not None:
            material, texture_set = self._material(effect)
        uv = None
        sets = primitive.texcoordset
        if material.texture is not None and sets:
            number = _texture_set(primitive, bound, texture_set)
            rows = primitive.texcoord_indexset[number].reshape(-1)[triangles]
            uv = np.asarray(sets[number], dtype=np.float64)[:, :2][rows]
        return Appearance(np.zeros(len(triangles), np.int32), (material,), uv, corner_colors)

    def _material(self, effect: Any) -> tuple[Material, str | None]:
        """Return the material of an effect, and the name of its texture coordinates."""
        diffuse, texture, texture_set = effect.diffuse, None, None
        if isinstance(diffuse, Map):
            path = diffuse.sampler.surface.image.path
            texture = self.textures.get(_file_name(path))
            texture_set = diffuse.texcoord
            diffuse = None
        if diffuse is None and effect.shadingtype == "constant" and texture is None:
            diffuse = effect.emission if isinstance(effect.emission, tuple) else None
        color = np.full(3, 255, dtype=np.uint8)
        if diffuse is not None:
            color = to_bytes(np.array(diffuse[:3], dtype=np.float64))
        return Material(color, texture, _opacity(effect)), texture_set


def _geometry(node: Any) -> tuple[Any, np.ndarray]:
    """Return the geometry of a node, or of its skin or morph in the pose of the file, or None."""
    if isinstance(node, collada.scene.GeometryNode):
        return node.geometry, np.eye(4)
    if isinstance(node, collada.scene.ControllerNode):
        controller = node.controller
        geometry = getattr(controller, "geometry", None)
        geometry = geometry or getattr(controller, "source_geometry", None)
        matrix = getattr(controller, "bind_shape_matrix", np.eye(4))
        return geometry, np.asarray(matrix, dtype=np.float64).reshape(4, 4)
    return None, np.eye(4)


def _texture_set(primitive: Any, bound: Any, name: str | None) -> int:
    """Return the index of the texture coordinates that a material binds to a name."""
    numbers = [entry[3] for entry in primitive.sources["TEXCOORD"]]
    for semantic, _, number in bound.inputs or []:
        if semantic == name and str(number) in map(str, numbers):
            return list(map(str, numbers)).index(str(number))
    return 0


def _file_name(path: str) -> str:
    """Return the file that an image names; URIs of other machines keep their last part."""
    parsed = urlparse(path)
    return unquote(parsed.path) if parsed.scheme in ("file", "http", "https") else path


def _opacity(effect: Any) -> float:
    """Return the opacity of an effect by its transparent colour and transparency."""
    transparent = effect.transparent
    if transparent is None or isinstance(transparent, Map):
        return 1.0
    amount = effect.transparency if isinstance(effect.transparency, (int, float)) else 1.0
    if effect.opaque_mode == collada.material.OPAQUE_MODE.RGB_ZERO:
        return float(np.clip(1 - np.mean(transparent[:3]) * amount, 0, 1))
    opacity = float(np.clip(transparent[3] * amount, 0, 1)) if len(transparent) > 3 else 1.0
    # Some programs write 0 for opaque.
    return opacity or 1.0
