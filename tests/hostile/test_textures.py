"""Textures of untrusted meshes: bombs are refused, shared images read once, pixels right."""

import os
from pathlib import Path

import image_roads
import numpy as np
import pytest
from image_roads import NUMBERS, SQUARE, TEXTURE_ROADS, gltf_tree, lone, packed_glb
from odd_images import encoded, flat_png, raw_png
from reading_cost import MEGABYTES, SECONDS, measured

from triform.base.errors import UserError
from triform.images import read


def names_of(roads):
    return [road.__name__ for road in roads]


def write_obj(folder: Path, materials: list[str], libraries: str = "mtllib m.mtl\n") -> None:
    """A model whose every material has one triangle."""
    rows = [f"newmtl m{n}\n{text}\n" for n, text in enumerate(materials)]
    (folder / "m.mtl").write_text("".join(rows))
    faces = [f"usemtl m{n}\nf 1/1 2/2 3/3\n" for n in range(len(materials))]
    (folder / "m.obj").write_text(libraries + SQUARE + "".join(faces))


def test_one_texture_of_many_materials_is_kept_once(tmp_path):
    from triform.geometry.io.load import load_mesh
    from triform.geometry.render.face_attributes import build_face_attributes

    pixels = np.zeros((1024, 1024), np.uint8)
    pixels[:8] = 9
    kinds = ("names", "spellings", "copies", "masks", "tints")
    for kind in kinds:
        folder = tmp_path / kind
        (folder / "x").mkdir(parents=True)
        (folder / "t.png").write_bytes(encoded(pixels, "PNG"))
        materials = []
        for number in range(300):
            name = "t.png"
            if kind == "spellings":
                name = "./" * number + "x/../" * (number % 3) + "t.png"
            elif kind == "copies":
                name = f"{number}.png"
                os.link(folder / "t.png", folder / name)
            line = f"map_Kd {name}"
            if kind == "tints":
                line = f"Kd 0 0 {number / 300}\nmap_d {name}"
            materials.append(line + (f"\nmap_d {name}" if kind == "masks" else ""))
        write_obj(folder, materials)
    found = measured(tmp_path, [f"{kind}/m.obj" for kind in kinds])
    for kind, (output, memory, seconds) in zip(kinds, found.values(), strict=True):
        assert output == "read" and memory < MEGABYTES and seconds < SECONDS, (
            kind,
            memory,
            seconds,
        )
        mesh = load_mesh(tmp_path / kind / "m.obj", appearance=True)
        shown = [each.texture for each in mesh.appearance.materials if each.texture is not None]
        assert len(shown) == 300 and len({id(each) for each in shown}) == 1, kind
        assert len(build_face_attributes(mesh).atlas.counts) == 1, kind


def test_many_materials_of_a_glb_share_one_texture(tmp_path):
    from triform.geometry.io.load import load_mesh

    data = encoded(np.full((512, 512, 4), 99, np.uint8), "PNG")
    tree = gltf_tree({"bufferView": 2}, len(data))
    (material,) = tree["materials"]
    (primitive,) = tree["meshes"][0]["primitives"]
    modes = ("OPAQUE", "BLEND")
    tree["materials"] = [{**material, "alphaMode": modes[n % 2]} for n in range(40)]
    tree["meshes"][0]["primitives"] = [{**primitive, "material": n} for n in range(40)]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + data))
    mesh = load_mesh(tmp_path / "m.glb", appearance=True)
    used = {id(each.texture): each.texture.shape for each in mesh.appearance.materials}
    assert sorted(used.values()) == [(512, 512, 3), (512, 512, 4)]


def test_one_library_named_twenty_thousand_times_is_read_once(tmp_path):
    from triform.geometry.io.obj import read_obj

    requested = []
    texts = {"m.mtl": b"newmtl m0\nKd 1 0 0\n" + b"Ks 0 0 0\n" * 10_000}

    def find(name):
        requested.append(name)
        return texts.get(name)

    text = "mtllib m.mtl\n" * 20_000 + SQUARE + "usemtl m0\nf 1/1 2/2 3/3\n"
    assert read_obj(text.encode(), find).face_colors.tolist() == [[255, 0, 0]]
    assert requested == ["m.mtl"]
    spellings = "".join(f"mtllib {'./' * n}m.mtl\n" for n in range(1500))
    write_obj(tmp_path, ["Kd 1 0 0"], spellings)
    output, memory, seconds = measured(tmp_path, ["m.obj"])["m.obj"]
    assert "material libraries are more than 1000" in output and "m.obj" in output
    assert memory < MEGABYTES and seconds < SECONDS


def test_the_last_of_two_libraries_counts():
    from triform.geometry.io.obj import read_obj

    texts = {"a": b"newmtl m\nKd 1 0 0\n", "b": b"newmtl m\nKd 0 1 0\n"}
    for order, color in (("ab", [0, 255, 0]), ("ba", [255, 0, 0]), ("aba", [255, 0, 0])):
        text = "".join(f"mtllib {name}\n" for name in order) + SQUARE + "usemtl m\nf 1 2 3\n"
        assert read_obj(text.encode(), texts.get).face_colors.tolist() == [color]


def test_a_glb_of_bombs_is_refused_before_one_is_decoded(tmp_path):
    images = [flat_png(7000, 7000), flat_png(7000, 6999)]
    images += [flat_png(7000, 7000 - n) for n in range(2, 6)]
    data, views, start = b"".join(images), [], 60
    for image in images:
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(image)})
        start += len(image)
    tree = gltf_tree({}, len(data))
    count = len(images)
    tree["bufferViews"] = tree["bufferViews"][:2] + views
    tree["images"] = [{"bufferView": 2 + n} for n in range(count)]
    tree["textures"] = [{"source": n} for n in range(count)]
    tree["materials"] = [
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": n}}} for n in range(count)
    ]
    (primitive,) = tree["meshes"][0]["primitives"]
    tree["meshes"][0]["primitives"] = [{**primitive, "material": n} for n in range(count)]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + data))
    output, memory, seconds = measured(tmp_path, ["m.glb"])["m.glb"]
    assert "m.glb: its textures have more than" in output, output
    assert memory < MEGABYTES and seconds < SECONDS


@pytest.mark.parametrize("road", TEXTURE_ROADS, ids=names_of(TEXTURE_ROADS))
def test_a_texture_that_is_a_bomb_is_left_out(road, tmp_path):
    path = lone(tmp_path / "a", "t.png", raw_png(60_000, 60_000, 2, 8, b""))
    with pytest.raises(UserError, match="no texture"):
        road(path)


def test_textures_may_be_strips(tmp_path):
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(2, 1)
    path = lone(tmp_path / "a", "t.png", encoded(ramp, "PNG"))
    assert image_roads.obj(path).shape == (1, 512, 3)
    with pytest.raises(UserError, match="512 x 1 pixels, more than 100 times"):
        read.read_image(path)


def test_a_texture_of_16_bits_colors_its_faces(tmp_path):
    from triform.geometry.io.load import load_mesh

    deep = np.full((4, 4), 200 * 257, np.uint16)
    path = lone(tmp_path / "a", "wood.png", encoded(deep, "PNG"))
    image_roads.obj(path)
    assert load_mesh(path.parent / "m.obj").face_colors.tolist() == [[200] * 3]


@pytest.mark.parametrize(
    "image",
    [
        {"bufferView": 99},
        {"bufferView": "two"},
        {"bufferView": -1},
        {"uri": "none.png"},
        {},
        {"uri": "data:image/png;base64,!"},
        {"uri": "../../../etc/passwd"},
        7,
    ],
)
def test_images_that_a_glb_does_not_have_leave_it_without(image, tmp_path):
    from triform.geometry.io.load import load_mesh

    (tmp_path / "m.glb").write_bytes(packed_glb(gltf_tree(image, 0), NUMBERS))
    mesh = load_mesh(tmp_path / "m.glb", appearance=True)
    assert len(mesh.faces) == 1
    assert [each.texture for each in mesh.appearance.materials] == [None]


def test_many_images_that_share_bytes_are_refused(tmp_path):
    size = 3 * 10**6
    tree = gltf_tree({}, size)
    count = 300
    tree["images"] = [{"bufferView": 2}] * count
    tree["textures"] = [{"source": n} for n in range(count)]
    tree["materials"] = [
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": n}}} for n in range(count)
    ]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + bytes(size)))
    output, memory, seconds = measured(tmp_path, ["m.glb"])["m.glb"]
    assert "its textures have more than 536870912 bytes" in output
    assert memory < MEGABYTES and seconds < SECONDS
