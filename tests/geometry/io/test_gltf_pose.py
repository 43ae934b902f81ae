"""Skins and morph targets: a mesh is read where the joints of its rest pose put it."""

import logging

import numpy as np
import pytest
from box_files import VERTICES, box_glb, compare

from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError


def skinned_box(nodes, joints, weights, *, node=None, inverse=None):
    """A box with a skin; `joints` and `weights` are (8, 4)."""

    def edit(file):
        attributes = file.tree["meshes"][0]["primitives"][0]["attributes"]
        attributes["JOINTS_0"] = file.accessor(np.asarray(joints, "u1"))
        attributes["WEIGHTS_0"] = file.accessor(np.asarray(weights, "<f4"))
        skin = {"joints": list(range(1, 1 + len(nodes)))}
        if inverse is not None:
            skin["inverseBindMatrices"] = file.accessor(np.asarray(inverse, "<f4"))
        file.tree["skins"] = [skin]
        file.tree["nodes"] = [{"mesh": 0, "skin": 0, **(node or {})}, *nodes]
        file.tree["scenes"] = [{"nodes": list(range(1 + len(nodes)))}]
        file.tree["scene"] = 0

    return box_glb(edit)


def one_joint(number=0):
    return np.tile([number, 0, 0, 0], (8, 1)), np.tile([1, 0, 0, 0], (8, 1))


def test_joints_place_a_skinned_mesh_and_its_node_does_not():
    data = skinned_box(
        [{"translation": [5, 0, 0], "scale": [2, 2, 2]}], *one_joint(), node={"scale": [9, 9, 9]}
    )
    compare(load_mesh(data, "glb"), 48, 88, 12, (7, 4, 6), (5, 0, 0))


def test_inverse_bind_matrices():
    """Bound at x = 5 and posed at z = 1; matrices of glTF are columns first."""
    inverse = np.eye(4)
    inverse[3, 0] = -5
    data = skinned_box([{"translation": [5, 0, 1]}], *one_joint(), inverse=[inverse.ravel()])
    compare(load_mesh(data, "glb"), high=(1, 2, 4), low=(0, 0, 1))


def test_two_joints_stretch():
    """The upper corners follow the second joint by half, 2 upwards; weights add up to 2."""
    upper = VERTICES[:, 2] == 3
    joints = np.where(upper[:, None], [0, 1, 0, 0], 0)
    weights = np.where(upper[:, None], [1, 1, 0, 0], [2, 0, 0, 0])
    data = skinned_box([{}, {"translation": [0, 0, 2]}], joints, weights)
    compare(load_mesh(data, "glb"), 8, 28, 12, (1, 2, 4))


def test_damaged_and_missing_joints(caplog):
    with pytest.raises(MeshError, match="a vertex uses joint 3 of 1"):
        load_mesh(skinned_box([{}], *one_joint(3)), "glb")
    with pytest.raises(MeshError, match="a skin has 2 joints and 1 matrices"):
        load_mesh(skinned_box([{}, {}], *one_joint(), inverse=[np.eye(4).ravel()]), "glb")
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}, "translation": [9, 9, 9]}
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(skinned_box([hidden], *one_joint()), "glb"))
    assert "1 pose by a skin whose joints are not in the scene" in caplog.text


@pytest.mark.parametrize("place", ["meshes", "nodes"])
def test_weights_of_morph_targets(place):
    """Twice as wide at weight 1; the weights of a node go before those of its mesh."""

    def edit(file):
        offsets = np.zeros((8, 3), "<f4")
        offsets[:, 0] = VERTICES[:, 0]
        target = {"POSITION": file.accessor(offsets)}
        file.tree["meshes"][0]["primitives"][0]["targets"] = [target, {}]
        file.tree["meshes"][0]["weights"] = [0.25, 1.0]
        file.tree[place][0]["weights"] = [1.0, 0.0]

    compare(load_mesh(box_glb(edit), "glb"), 12, 32, 12, (2, 2, 3))


def test_a_morph_target_of_another_mesh():
    def edit(file):
        target = {"POSITION": file.accessor(np.zeros((7, 3), "<f4"))}
        file.tree["meshes"][0]["primitives"][0]["targets"] = [target]
        file.tree["meshes"][0]["weights"] = [1]

    with pytest.raises(MeshError, match="a morph target has 7 of 8 vertices"):
        load_mesh(box_glb(edit), "glb")
