"""Poses of glTF meshes: weights of morph targets, and skins in the rest pose of their joints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from triform.geometry.io.gltf.document import Document, normalized
from triform.geometry.mesh import MeshError

Values = Callable[[Any], np.ndarray]
"""Returns the values of an accessor by its index."""
# Vertices that are skinned at once; each takes a matrix for a while.
_BLOCK = 2**16


class Pose(NamedTuple):
    """A mesh, the skin that places it (or None), and the weights of its morph targets."""

    mesh: int
    skin: int | None = None
    weights: tuple[float, ...] = ()


def pose_of(document: Document, node: dict[str, Any]) -> Pose:
    """Return the pose of the mesh of a node; a skin counts only where every vertex has joints."""
    mesh = document.object_at("meshes", node["mesh"])
    weights = tuple(float(weight) for weight in node.get("weights", mesh.get("weights", ())))
    has_joints = all("JOINTS_0" in part.get("attributes", {}) for part in mesh["primitives"])
    skin = node.get("skin") if has_joints else None
    return Pose(node["mesh"], skin, weights if any(weights) else ())


def joint_matrices(
    document: Document, skin: int, world: dict[int, np.ndarray], values: Values
) -> np.ndarray | None:
    """Return what every joint of a skin does to its vertices, (J, 4, 4).

    None if a joint is not in the scene.

    Args:
        document: the file.
        skin: index of the skin.
        world: matrices of the nodes of the scene.
        values: returns the values of an accessor.

    Raises:
        MeshError: there are fewer matrices than joints.
    """
    tree = document.object_at("skins", skin)
    joints = tree.get("joints", [])
    if any(joint not in world for joint in joints):
        return None
    matrices = np.array([world[joint] for joint in joints]).reshape(-1, 4, 4)
    if "inverseBindMatrices" not in tree:
        return matrices
    inverse = values(tree["inverseBindMatrices"]).astype(np.float64)
    if inverse.shape[1:] != (16,) or len(inverse) < len(joints):
        raise MeshError(f"damaged: a skin has {len(joints)} joints and {len(inverse)} matrices")
    return np.asarray(matrices @ inverse[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1))


def morphed(
    positions: np.ndarray, targets: list[Any], weights: tuple[float, ...], values: Values
) -> np.ndarray:
    """Return positions moved by the targets of a primitive.

    Raises:
        MeshError: a target has another number of vertices.
    """
    result = positions.astype(np.float64)
    for target, weight in zip(targets, weights, strict=False):
        if weight and "POSITION" in target:
            offsets = values(target["POSITION"])
            if offsets.shape != positions.shape:
                raise MeshError(
                    f"damaged: a morph target has {len(offsets)} of {len(positions)} vertices"
                )
            result += weight * offsets
    return result


def skinned(
    positions: np.ndarray, matrices: np.ndarray, attributes: Callable[[str], np.ndarray | None]
) -> np.ndarray:
    """Return positions moved by the joints that their vertices name.

    Args:
        positions: (V, 3).
        matrices: (J, 4, 4), those of `joint_matrices`.
        attributes: returns an attribute of the primitive by its name, or None.

    Raises:
        MeshError: a vertex names a joint that is not there.
    """
    moved, total = np.zeros((len(positions), 3)), np.zeros((len(positions), 1))
    number = 0
    while (joints := attributes(f"JOINTS_{number}")) is not None:
        weights = attributes(f"WEIGHTS_{number}")
        number += 1
        if weights is None or joints.shape != weights.shape or len(joints) != len(positions):
            raise MeshError("damaged: a skinned mesh has joints without as many weights")
        if weights.dtype.kind in "iu":
            weights = normalized(weights)
        if len(joints) and joints.max() >= len(matrices):
            raise MeshError(f"damaged: a vertex uses joint {joints.max()} of {len(matrices)}")
        total += weights.sum(axis=1, dtype=np.float64, keepdims=True)
        for start in range(0, len(positions), _BLOCK):
            part = slice(start, start + _BLOCK)
            for column in range(joints.shape[1]):
                matrix = matrices[joints[part, column]]
                placed = (matrix[:, :3, :3] @ positions[part, :, None])[..., 0] + matrix[:, :3, 3]
                moved[part] += weights[part, column, None] * placed
    # The weights of a vertex should add up to 1; without any it stays.
    return np.where(total > 0, moved / np.where(total > 0, total, 1), positions)
