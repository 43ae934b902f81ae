"""Base colours of glTF: factors, vertex colours, textures and their coordinates."""

import io
import logging
import math

import numpy as np
import pytest
from box_files import RED, box_glb, compare
from PIL import Image

from triform.geometry.colors import linear_from_srgb
from triform.geometry.io.load import load_mesh

LINEAR = linear_from_srgb(np.array(RED) / 255).tolist()


def png(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, kind, lossless=True)
    return file.getvalue()


# Left half red, right half blue, above; green and white below.
FOUR = png([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 255, 255]]])


@pytest.mark.parametrize(
    "colors",
    [
        np.tile(np.array(LINEAR, "<f4"), (8, 1)),
        np.tile(np.array([*LINEAR, 0.5], "<f4"), (8, 1)),
        np.rint(np.tile(np.array(LINEAR), (8, 1)) * 65535).astype("u2"),
        np.rint(np.tile(np.array([*LINEAR, 1]), (8, 1)) * 65535).astype("u2"),
    ],
)
def test_vertex_colors_are_linear(colors):
    def edit(file):
        more = {} if colors.dtype.kind == "f" else {"normalized": True}
        primitive = file.tree["meshes"][0]["primitives"][0]
        primitive["attributes"]["COLOR_0"] = file.accessor(colors, **more)

    mesh = load_mesh(box_glb(edit), "glb", appearance=True)
    assert mesh.face_colors.tolist() == [list(RED)] * 12
    assert mesh.appearance.materials[0].opacity == 1  # alpha counts in other modes only


def test_bytes_as_vertex_colors():
    def edit(file):
        colors = np.tile(np.array([255, 0, 255], "u1"), (8, 1))
        view = file.view(np.pad(colors, ((0, 0), (0, 1))).tobytes(), byteStride=4)
        primitive = file.tree["meshes"][0]["primitives"][0]
        primitive["attributes"]["COLOR_0"] = file.accessor(colors, view=view)

    assert load_mesh(box_glb(edit), "glb").face_colors.tolist() == [[255, 0, 255]] * 12


@pytest.mark.parametrize(
    "material",
    [
        {"pbrMetallicRoughness": {"baseColorFactor": [*LINEAR, 1]}},
        {
            "pbrMetallicRoughness": {"baseColorFactor": [*LINEAR, 1]},
            "extensions": {"KHR_materials_unlit": {}},
        },
        {
            "pbrMetallicRoughness": {"baseColorFactor": [0, 1, 0, 1]},
            "extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [*LINEAR, 1]}},
        },
        {
            "extensions": {
                "KHR_materials_pbrSpecularGlossiness": {
                    "diffuseFactor": [0, 0, 0, 1],
                    "specularFactor": LINEAR,
                }
            }
        },
    ],
)
def test_factors_of_materials(material):
    def edit(file):
        file.tree["materials"] = [material]
        file.tree["extensionsRequired"] = list(material.get("extensions", {}))

    assert load_mesh(box_glb(edit, material=0), "glb").face_colors.tolist() == [list(RED)] * 12


def textured(info, sets, images=(FOUR,), textures=({"source": 0},), **material):
    """A triangle whose corners have the same texture coordinates, one set for each of `sets`."""

    def edit(file):
        views = [file.view(image) for image in images]
        file.tree |= {
            "images": [{"bufferView": view} for view in views],
            "textures": list(textures),
            "materials": [
                material or {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0} | info}}
            ],
        }
        attributes = file.tree["meshes"][0]["primitives"][0]["attributes"]
        for number, uv in enumerate(sets):
            values = np.tile(np.asarray(uv), (8, 1))
            more = {} if values.dtype.kind == "f" else {"normalized": True}
            attributes[f"TEXCOORD_{number}"] = file.accessor(values, **more)

    return load_mesh(box_glb(edit, material=0), "glb").face_colors[0].tolist()


UPPER_LEFT, UPPER_RIGHT = np.float32([0.25, 0.25]), np.float32([0.75, 0.25])
LOWER_LEFT = np.float32([0.25, 0.75])


def test_texture_coordinates():
    assert textured({}, [UPPER_LEFT]) == [255, 0, 0]
    assert textured({}, [LOWER_LEFT]) == [0, 255, 0]
    assert textured({"texCoord": 1}, [UPPER_LEFT, UPPER_RIGHT]) == [0, 0, 255]
    assert textured({}, [np.array([191, 64], "u1")]) == [0, 0, 255]
    assert textured({}, [np.array([16384, 49151], "u2")]) == [0, 255, 0]


@pytest.mark.parametrize(
    ("transform", "color"),
    [
        ({"offset": [0.5, 0]}, [0, 0, 255]),
        ({"offset": [0, 0.5]}, [0, 255, 0]),
        ({"scale": [3, 1]}, [0, 0, 255]),
        ({"scale": [3, 3]}, [255, 255, 255]),
        ({"scale": [3, 1], "offset": [0, 0.5]}, [255, 255, 255]),
        ({"texCoord": 1}, [0, 255, 0]),
        # A quarter turn takes (u, v) to (v, -u), here (0.25, 0.75) modulo 1.
        ({"rotation": math.pi / 2}, [0, 255, 0]),
    ],
)
def test_texture_transforms(transform, color):
    info = {"extensions": {"KHR_texture_transform": transform}}
    assert textured(info, [UPPER_LEFT, LOWER_LEFT]) == color


def test_alternative_images():
    webp = png([[[0, 0, 255]]], "webp")
    both = {"source": 0, "extensions": {"EXT_texture_webp": {"source": 1}}}
    assert textured({}, [UPPER_LEFT], (FOUR, webp), (both,)) == [0, 0, 255]
    assert textured({}, [UPPER_LEFT], (FOUR, b"no image at all"), (both,)) == [255, 0, 0]
    basis = {"source": 0, "extensions": {"KHR_texture_basisu": {"source": 1}}}
    assert textured({}, [UPPER_LEFT], (FOUR, b"\xabKTX 20\xbb"), (basis,)) == [255, 0, 0]


def test_the_texture_of_a_specular_glossiness_material():
    extension = {"diffuseTexture": {"index": 0}, "diffuseFactor": [1, 1, 1, 1]}
    color = textured(
        {}, [LOWER_LEFT], extensions={"KHR_materials_pbrSpecularGlossiness": extension}
    )
    assert color == [0, 255, 0]


def test_a_missing_image_is_said_once(caplog):
    def edit(file):
        file.tree |= {
            "images": [{"uri": "wood%20red.png"}],
            "textures": [{"source": 0}],
            "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        }

    data = box_glb(edit, material=0)
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(data, "glb"))
    (record,) = caplog.records
    assert "wood%20red.png: not in the folder" in record.getMessage()
    caplog.clear()
    load_mesh(data, "glb", {"wood red.png": FOUR})
    assert not caplog.records
