"""Reading of glTF 2.0 and GLB as one mesh with colours.

Our own reader, because the available ones take normalized integers for positions, drop instances,
second texture coordinates and compressed parts, and do not look at what a file requires.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import srgb_from_linear
from triform.geometry.io.gltf.document import (
    DRACO,
    INSTANCING,
    Document,
    compression_error,
    normalized,
)
from triform.geometry.io.gltf.materials import BaseColor, read_base_colors
from triform.geometry.io.gltf.pose import Pose, joint_matrices, morphed, pose_of, skinned
from triform.geometry.io.limits import MAX_CORNER_COUNT, MAX_INSTANCE_COUNT, check_tree
from triform.geometry.io.parts import (
    LeftOut,
    check_face_count,
    colored_mesh,
    concatenate,
    strip_triangles,
    transform_mesh,
)
from triform.geometry.io.textures import FileFinder, Textures
from triform.geometry.mesh import Mesh, MeshError

_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6
_WHITE = np.full(3, 255, dtype=np.uint8)


def read_gltf(data: bytes, find: FileFinder, *, name: str = "model") -> Mesh:
    """Read the default scene of a file.

    Args:
        data: content of a glTF or GLB file.
        find: returns the content of a file that this one refers to, or None.
        name: name of the model in warnings.

    Raises:
        MeshError: what is wrong with it, what it requires that is not read, or no faces.
    """
    textures = Textures(find, name)
    document = Document(data, textures)
    reader = _Reader(document)
    instances = reader.instances()
    reader.check_corners({pose for pose, _ in instances})
    base_colors = read_base_colors(document)
    meshes = {pose: reader.primitives(pose, base_colors) for pose, _ in dict(instances).items()}
    check_face_count(sum(len(part.faces) for pose, _ in instances for part in meshes[pose]))
    parts = [transform_mesh(part, matrix) for pose, matrix in instances for part in meshes[pose]]
    if not parts:
        raise reader.left_out.no_faces(reader.reason)
    textures.report_problems()
    reader.left_out.warn(name)
    return concatenate(parts)


class _Reader:
    """The instances and primitives of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.left_out = LeftOut()
        self.reason = ""
        self.world: dict[int, np.ndarray] = {}
        self.joints: dict[int, np.ndarray | None] = {}

    def instances(self) -> list[tuple[Pose, np.ndarray]]:
        """Return the mesh, posed, and the matrix of every instance in the default scene."""
        document = self.document
        nodes, scenes = document.objects("nodes"), document.objects("scenes")
        children = {i: node.get("children", []) for i, node in enumerate(nodes)}
        if scenes:
            default = document.tree.get("scene", 0)
            roots = document.object_at("scenes", default).get("nodes", [])
        else:
            inner = {child for group in children.values() for child in group}
            default, roots = None, [i for i in children if i not in inner]
        check_tree(children | {"scene": roots}, "scene")
        instances: list[tuple[Pose, np.ndarray]] = []
        stack = [(root, np.eye(4)) for root in reversed(roots)]
        while stack:
            index, matrix = stack.pop()
            node = document.object_at("nodes", index)
            if not node.get("extensions", {}).get("KHR_node_visibility", {}).get("visible", True):
                self.left_out.add("hidden node{s}")
                continue
            matrix = self.world[index] = matrix @ _node_matrix(node)
            if "mesh" in node:
                pose = pose_of(document, node)
                if "skin" in node and pose.skin is None:
                    self.left_out.add("pose{s} by a skin whose mesh names no joints")
                # The joints alone place what has a skin.
                placement = matrix if pose.skin is None else np.eye(4)
                instances += [(pose, placement @ local) for local in self._copies(node)]
                if len(instances) > MAX_INSTANCE_COUNT:
                    raise MeshError(f"its scene has more than {MAX_INSTANCE_COUNT} parts")
            stack += [(child, matrix) for child in reversed(node.get("children", []))]
        num_meshes = len(document.objects("meshes"))
        self.reason = f"its scene places none of its {num_meshes} meshes" if num_meshes else ""
        self._count_other_scenes(default, {pose.mesh for pose, _ in instances}, children)
        return instances

    def _count_other_scenes(self, default: Any, used: set[int], children: dict[int, Any]) -> None:
        """Count the scenes that show meshes which the default scene does not."""
        nodes, visited = self.document.objects("nodes"), set()
        for number, scene in enumerate(self.document.objects("scenes")):
            if number == default:
                continue
            stack, meshes = list(scene.get("nodes", [])), set()
            while stack:
                # Nodes that several scenes share are visited once.
                if (index := stack.pop()) not in visited and 0 <= index < len(nodes):
                    visited.add(index)
                    stack += children[index]
                    meshes.add(nodes[index].get("mesh"))
            if meshes - used - {None}:
                self.left_out.add("other scene{s}")

    def _copies(self, node: dict[str, Any]) -> list[np.ndarray]:
        """Return the matrices of the copies of a node's mesh (EXT_mesh_gpu_instancing)."""
        instancing = node.get("extensions", {}).get(INSTANCING)
        if instancing is None:
            return [np.eye(4)]
        attributes = {
            name: self._values(index)
            for name, index in instancing.get("attributes", {}).items()
            if name in ("TRANSLATION", "ROTATION", "SCALE")
        }
        counts = {len(values) for values in attributes.values()}
        if len(counts) != 1:
            raise MeshError(f"damaged: {INSTANCING} has no, or different, numbers of instances")
        (count,) = counts
        if count > MAX_INSTANCE_COUNT:
            raise MeshError(f"its scene has more than {MAX_INSTANCE_COUNT} parts")
        rotations = attributes.get("ROTATION", np.zeros((0, 4)))
        if rotations.dtype.kind == "i":
            attributes["ROTATION"] = normalized(rotations)
        rows = [{k.lower(): values[i] for k, values in attributes.items()} for i in range(count)]
        return [_node_matrix(row) for row in rows]

    def _values(self, index: Any) -> np.ndarray:
        """Return an accessor that must hold data.

        Raises:
            MeshError: too many values.
        """
        if self.document.object_at("accessors", index)["count"] > MAX_CORNER_COUNT:
            raise MeshError(f"its meshes have more than {MAX_CORNER_COUNT} corners together")
        return self.document.accessor(index)

    def check_corners(self, poses: set[Pose]) -> None:
        """Check the number of vertices and corners before any is read.

        Raises:
            MeshError: too many.
        """
        total = 0
        for pose in poses:
            for primitive in self.document.object_at("meshes", pose.mesh)["primitives"]:
                num_vertices = self._count(primitive.get("attributes", {}).get("POSITION"))
                # With indices only the vertices that they use are kept.
                num_corners = self._count(primitive.get("indices"))
                total += 2 * num_corners if "indices" in primitive else num_vertices
                if max(total, num_vertices) > MAX_CORNER_COUNT:
                    raise MeshError(
                        f"its meshes have more than {MAX_CORNER_COUNT} corners together"
                    )

    def _count(self, accessor: Any) -> int:
        count = 0 if accessor is None else self.document.object_at("accessors", accessor)["count"]
        if not isinstance(count, int) or count < 0:
            raise MeshError(f"damaged: accessor {accessor} has {count!r} values")
        return count

    def primitives(self, pose: Pose, base_colors: list[BaseColor]) -> list[Mesh]:
        """Read the triangles of a mesh; points and lines are counted as left out."""
        parts = []
        for primitive in self.document.object_at("meshes", pose.mesh)["primitives"]:
            mode = primitive.get("mode", _TRIANGLES)
            if mode == _POINTS:
                self.left_out.add("primitive{s} of points")
            elif mode in _LINES:
                self.left_out.add("primitive{s} of lines")
            elif mode not in (_TRIANGLES, _STRIP, _FAN):
                raise MeshError(f"damaged: a primitive has the mode {mode!r}")
            elif "POSITION" not in primitive.get("attributes", {}):
                self.left_out.add("primitive{s} without positions")
            else:
                part = self._primitive(primitive, mode, base_colors, pose)
                parts += [] if part is None else [part]
        return parts

    def _primitive(
        self, primitive: dict[str, Any], mode: int, base_colors: list[BaseColor], pose: Pose
    ) -> Mesh | None:
        attributes, indices = self._attributes(primitive)
        positions = attributes("POSITION")
        if positions is None or positions.shape[1] != 3:
            self.left_out.add("primitive{s} without data")
            return None
        positions = self._posed(positions, primitive, attributes, pose)
        faces = self._triangles(
            np.arange(len(positions)) if indices is None else indices.ravel(), mode
        )
        if not len(faces):
            self.left_out.add("primitive{s} without faces")
            return None
        if faces.max() >= len(positions) or faces.min() < 0:
            raise MeshError(
                f"damaged: faces use vertices {faces.min()} to {faces.max()}, "
                f"but there are {len(positions)}"
            )
        corners = faces
        if faces.size < len(positions):
            used, faces = np.unique(faces, return_inverse=True)
            positions, faces = positions[used], faces.reshape(-1, 3)
        base_color = None
        if "material" in primitive:
            self.document.object_at("materials", primitive["material"])
            base_color = base_colors[primitive["material"]]
        appearance = _appearance(base_color, attributes, corners)
        return colored_mesh(positions.astype(np.float64), faces, appearance)

    def _posed(
        self, positions: np.ndarray, primitive: dict[str, Any], attributes: Any, pose: Pose
    ) -> np.ndarray:
        """Return positions moved by morph targets, then by the joints of a skin."""
        if pose.weights and "targets" in primitive:
            positions = morphed(positions, primitive["targets"], pose.weights, self._values)
        if pose.skin is None:
            return positions
        if pose.skin not in self.joints:
            self.joints[pose.skin] = joint_matrices(
                self.document, pose.skin, self.world, self._values
            )
        matrices = self.joints[pose.skin]
        if matrices is None:
            self.left_out.add("pose{s} by a skin whose joints are not in the scene")
            return positions
        return skinned(positions, matrices, attributes)

    def _attributes(self, primitive: dict[str, Any]) -> tuple[Any, np.ndarray | None]:
        """Return a reader of the primitive's attributes by name, and its indices or None."""
        names = primitive["attributes"]
        compressed = primitive.get("extensions", {}).get(DRACO)
        decoded: dict[str, np.ndarray] = {}
        indices = None
        if compressed is not None:
            decoded, indices = self._decode_draco(primitive, compressed)
        if indices is None and "indices" in primitive:
            indices = self._data(primitive["indices"])
            if indices is None:
                return (lambda name: None), None

        def attribute(name: str) -> np.ndarray | None:
            if name in decoded:
                return decoded[name]
            return self._data(names[name]) if name in names else None

        return attribute, indices

    def _data(self, index: Any) -> np.ndarray | None:
        """Return the values of an accessor, or None if it holds none."""
        accessor = self.document.object_at("accessors", index)
        return self._values(index) if {"bufferView", "sparse"} & set(accessor) else None

    def _decode_draco(
        self, primitive: dict[str, Any], compressed: dict[str, Any]
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        names = primitive["attributes"]
        try:
            import DracoPy
        except ImportError:
            if "bufferView" in self.document.object_at("accessors", names["POSITION"]):
                return {}, None  # an uncompressed copy is there as well
            raise compression_error(DRACO, "draco") from None
        try:
            decoded = DracoPy.decode(bytes(self.document.view(compressed["bufferView"])))
        except MeshError:
            raise
        except Exception as error:
            raise MeshError(f"its {DRACO} data is damaged ({error})") from None
        arrays = {attribute["unique_id"]: attribute["data"] for attribute in decoded.attributes}
        values = {}
        for name, unique_id in compressed["attributes"].items():
            accessor = self.document.object_at("accessors", names[name])
            array = np.asarray(arrays[unique_id])
            if len(array) != accessor["count"]:
                raise MeshError(f"damaged: {DRACO} has {len(array)} of {accessor['count']} values")
            array = array.reshape(len(array), -1)
            is_normalized = accessor.get("normalized") and array.dtype.kind in "iu"
            values[name] = normalized(array) if is_normalized else array
        faces = getattr(decoded, "faces", None)
        return values, None if faces is None else np.asarray(faces).ravel()

    def _triangles(self, corners: np.ndarray, mode: int) -> np.ndarray:
        """Return the triangles (F, 3) of the corners of a primitive."""
        corners = corners.astype(np.int64)
        if mode == _TRIANGLES:
            self.left_out.add("corner{s} of incomplete faces", len(corners) % 3)
            return np.asarray(corners[: len(corners) // 3 * 3].reshape(-1, 3))
        if mode == _STRIP:
            return strip_triangles(corners, restart=-1)
        if len(corners) < 3:
            return np.empty((0, 3), dtype=np.int64)
        first = np.full(len(corners) - 2, corners[0])
        return np.stack([first, corners[1:-1], corners[2:]], axis=1)


def _appearance(
    base_color: BaseColor | None, attributes: Any, corners: np.ndarray
) -> Appearance | None:
    """Return the appearance of a primitive, or None without material and colours."""
    colors = attributes("COLOR_0")
    if colors is not None and colors.dtype.kind in "iu":
        colors = normalized(colors)
    if base_color is None and colors is None:
        return None
    uses_alpha = base_color is not None and base_color.uses_alpha
    material, uv = Material(_WHITE), None
    if base_color is not None:
        material = base_color.plain
        coordinates = attributes(f"TEXCOORD_{base_color.tex_coord}")
        if base_color.textured is not None and coordinates is not None:
            material = base_color.textured
            uv = coordinates[corners][..., :2].astype(np.float64)
            if base_color.transform is not None:
                uv = uv @ base_color.transform[:, :2].T + base_color.transform[:, 2]
            uv[..., 1] = 1 - uv[..., 1]
    corner_colors = None
    if colors is not None:
        # glTF states colours of vertices as linear light, as it does factors.
        srgb = np.rint(srgb_from_linear(np.nan_to_num(colors[:, :3])) * 255).astype(np.uint8)
        corner_colors = srgb[corners]
        if uses_alpha and colors.shape[1] == 4:
            opacity = float(np.clip(np.nan_to_num(colors[:, 3][corners]), 0, 1).mean())
            material = Material(material.color, material.texture, material.opacity * opacity)
    return Appearance(np.zeros(len(corners), np.int32), (material,), uv, corner_colors)


def _node_matrix(node: dict[str, Any]) -> np.ndarray:
    """Return the (4, 4) matrix of a node, or of the transform of an instance."""
    if "matrix" in node:
        return np.asarray(np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T)
    matrix = np.eye(4)
    x, y, z, w = (float(value) for value in node.get("rotation", (0, 0, 0, 1)))
    length = x * x + y * y + z * z + w * w
    if length > 0:
        s = 2 / length
        matrix[:3, :3] = [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
