import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from triform.geometry.appearance import Appearance, Material, concatenate_appearances
from triform.geometry.io.load import load_mesh
from triform.geometry.io.mtl import _file_name, read_materials
from triform.geometry.mesh import Mesh, MeshError, normalize, weld
from triform.geometry.voxels.surface import select_faces

RED, WHITE = np.uint8([255, 0, 0]), np.uint8([255, 255, 255])
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = SQUARE[:, :2][FACES]
# Rows from the top, as in a file.
FOUR = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]])


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def nothing(name):
    return None


def obj(materials=b"newmtl a\nKd 1 0 0\nmap_Kd t.png\n", files=None, **options):
    text = (
        b"mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
        b"vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3 4/4\n"
    )
    inputs = {"m.mtl": materials, "t.png": png(FOUR), **(files or {})}
    return load_mesh(text, "obj", inputs, **options)


def test_colors_of_a_texture():
    appearance = Appearance(np.zeros(2, int), (Material(WHITE, FOUR),), UV)
    # In the triangle (0,0) (1,0) (1,1): lower left, lower right, upper right.
    near = np.eye(3) * 0.7 + 0.1
    found = appearance.colors_at(np.zeros(3, int), near)
    assert found.tolist() == [[0, 0, 255], [255, 255, 0], [0, 255, 0]]
    assert appearance.colors_at(np.ones(1, int), near[2:]).tolist() == [[255, 0, 0]]
    assert appearance.rgba_at(np.zeros(3, int), near)[:, 3].tolist() == [1, 1, 1]
    away = Appearance(np.zeros(2, int), (Material(WHITE, FOUR),), UV + np.array([3, -5]))
    assert np.array_equal(away.colors_at(np.zeros(3, int), near), found)


def test_everything_multiplies():
    corners = np.full((2, 3, 3), 255, np.uint8)
    corners[1] = np.eye(3) * 255
    texture = np.full((1, 1, 4), 128, np.uint8)
    materials = (Material(np.uint8([200, 100, 50])), Material(RED, texture, 0.5))
    appearance = Appearance(np.array([0, 1]), materials, UV, corners)
    third = np.full((2, 3), 1 / 3)
    assert appearance.colors_at(np.arange(2), third).tolist() == [[200, 100, 50], [43, 0, 0]]
    assert appearance.rgba_at(np.arange(2), third)[:, 3] == pytest.approx([1, 0.251], abs=1e-3)
    turned = appearance.take(np.array([1, 0, 1]))
    assert turned.colors_at(np.arange(3), third[[0, 0, 0]])[:, 0].tolist() == [43, 200, 43]


def test_an_appearance_goes_with_its_mesh():
    appearance = Appearance(np.array([0, 1]), (Material(RED), Material(WHITE)))
    mesh = Mesh(SQUARE * 7, FACES, None, appearance)
    assert normalize(mesh).appearance is appearance and weld(mesh).appearance is appearance
    half = select_faces(mesh, np.array([False, True]))
    assert half.appearance.colors_at(np.zeros(1, int), np.eye(3)[:1]).tolist() == [[255] * 3]


@pytest.mark.parametrize(
    ("look", "say"),
    [
        (Appearance(np.zeros(1, int), (Material(RED),)), r"material is \(1,\)"),
        (Appearance(np.array([0, 1]), (Material(RED),)), "but there are 1 materials"),
        (Appearance(np.array([0, -1]), (Material(RED),)), "from -1"),
    ],
)
def test_a_mesh_refuses_what_does_not_fit(look, say):
    with pytest.raises(MeshError, match=say):
        Mesh(SQUARE, FACES, None, look)


def test_coordinates_that_are_not_finite_become_zero():
    wild = np.array([[[np.nan, np.inf], [-np.inf, 1e300], [2, 3]]] * 2)
    assert Appearance(np.zeros(2, int), (Material(RED, FOUR),), wild).uv[0].tolist() == [
        [0, 0],
        [0, 0],
        [2, 3],
    ]


def test_joined_appearances():
    corners = np.zeros((1, 3, 3), np.uint8)
    parts = [
        (2, Appearance(np.zeros(2, int), (Material(WHITE, FOUR),), UV)),
        (1, None),
        (1, Appearance(np.zeros(1, int), (Material(RED),), None, corners)),
    ]
    whole = concatenate_appearances(parts, (9, 9, 9))
    assert whole.validation_error(4) == "" and whole.material.tolist() == [0, 0, 1, 2]
    colors = whole.colors_at(np.arange(4), np.full((4, 3), 1 / 3))
    assert colors[2:].tolist() == [[9, 9, 9], [0, 0, 0]]


def test_obj_keeps_its_texture_and_the_same_face_colors():
    plain, rich = obj(), obj(appearance=True)
    assert plain.appearance is None and np.array_equal(plain.face_colors, rich.face_colors)
    appearance = rich.appearance
    assert appearance.colors_at(np.zeros(1, int), np.array([[0.8, 0.1, 0.1]])).tolist() == [
        [0, 0, 255]
    ]
    missing = obj(files={"t.png": b"no image"}, appearance=True)
    assert missing.appearance.colors_at(np.zeros(1, int), np.eye(3)[:1]).tolist() == [[255, 0, 0]]
    assert obj(b"", appearance=True).face_colors is None


def test_obj_faces_without_coordinates_show_the_material():
    text = b"mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/9\nf 1 2 3\n"
    inputs = {"m.mtl": b"newmtl a\nKd 0 1 0\nmap_Kd t.png\n", "t.png": png(FOUR)}
    mesh = load_mesh(text, "obj", inputs, appearance=True)
    assert mesh.appearance.colors_at(np.arange(2), np.eye(3)[:2]).tolist() == [[0, 255, 0]] * 2


def test_obj_vertex_colors_at_the_corners():
    text = b"v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1 2 3\n"
    appearance = load_mesh(text, "obj", appearance=True).appearance
    assert appearance.colors_at(np.zeros(3, int), np.eye(3)).tolist() == (np.eye(3) * 255).tolist()


def test_a_texture_on_another_machine_is_found_by_its_name():
    named = rb"newmtl a" + b"\nmap_Kd C:\\Users\\me\\wood\\t.png\n"
    assert obj(named, appearance=True).appearance.uv is not None
    assert any(
        material.texture is not None
        for material in obj(named, appearance=True).appearance.materials
    )


def test_transparency_in_a_material_library():
    leaf = np.dstack([FOUR, np.uint8([[0, 255], [255, 255]])])
    files = {
        "leaf.png": png(leaf),
        "mask.png": png(np.uint8([[0, 255], [255, 0]])),
        "t.png": png(FOUR),
    }
    library = (
        b"newmtl solid\nd 1\nnewmtl glass\nd 0.25\nnewmtl wrong\nTr 0.75\n"
        b"newmtl halo\nd -halo 0.5\nnewmtl bad\nd 7\nnewmtl leaf\n"
        b"map_Kd leaf.png\nnewmtl masked\nmap_Kd t.png\n"
        b"map_d -imfchan m mask.png\nnewmtl cut\nKd 0 0 1\nmap_d mask.png\n"
    )
    found = {name: looks[0] for name, looks in read_materials(library, files.get).items()}
    opacities = {name: appearance.opacity for name, appearance in found.items()}
    assert opacities == {
        "solid": 1,
        "glass": 0.25,
        "wrong": 0.25,
        "halo": 0.5,
        "bad": 1,
        "leaf": 1,
        "masked": 1,
        "cut": 1,
    }
    assert np.array_equal(found["leaf"].texture, leaf)
    assert found["masked"].texture[..., 3].tolist() == [[0, 255], [255, 0]]
    # White, and blue by its material: one array serves materials of all colours.
    assert found["cut"].texture[0, 1].tolist() == [255] * 4
    assert found["cut"].color.tolist() == [0, 0, 255]
    assert read_materials(b"newmtl a\nmap_Kd t.png", files.get)["a"][0].texture.shape[2] == 3


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"my wood.png", "my wood.png"),
        (b"-s 1 1 1 my wood.png", "my wood.png"),
        (b"-o 0.5 wood.png", "wood.png"),
        (b"-clamp on -bm 0.2 -s 2 2 wood.png", "wood.png"),
        (b"-mm 0 1 -blendu on a b.png", "a b.png"),
        (b"-s 1 1 1 7.png", "7.png"),
        (b"-s", ""),
        (b"-unknown x.png", "x.png"),
    ],
)
def test_options_of_a_map(line, name):
    assert _file_name(line) == name


def glb(visual):
    mesh = trimesh.Trimesh(SQUARE, FACES, visual=visual, process=False)
    return load_mesh(mesh.export(file_type="glb"), "glb", appearance=True)


def test_gltf_textures_factors_and_alpha():
    image = Image.fromarray(np.dstack([FOUR, np.uint8([[0, 255], [255, 255]])]))
    for mode, opacity in (("OPAQUE", [1, 1]), ("MASK", [1, 0])):
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=image, baseColorFactor=[255, 255, 255, 255], alphaMode=mode
        )
        mesh = glb(trimesh.visual.TextureVisuals(uv=SQUARE[:, :2], material=material))
        at = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
        assert mesh.appearance.colors_at(np.arange(2), at).tolist() == [[0, 0, 255], [255, 0, 0]]
        assert mesh.appearance.rgba_at(np.arange(2), at)[:, 3].tolist() == opacity
    glass = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 64], alphaMode="BLEND")
    mesh = glb(trimesh.visual.TextureVisuals(uv=SQUARE[:, :2], material=glass))
    assert mesh.appearance.materials[0].opacity == pytest.approx(0.25, abs=0.01)
    assert mesh.appearance.materials[0].color.tolist() == [255, 0, 0]


def test_mirrored_parts_keep_their_texture_in_place():
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(FOUR))
    visual = trimesh.visual.TextureVisuals(uv=SQUARE[:, :2], material=material)
    scene = trimesh.Scene()
    part = trimesh.Trimesh(SQUARE, FACES, visual=visual, process=False)
    scene.add_geometry(part, transform=np.diag([-1.0, 1, 1, 1]))
    mesh = load_mesh(scene.export(file_type="glb"), "glb", appearance=True)
    assert mesh.face_normals[:, 2] == pytest.approx([1, 1])
    for face in range(2):
        for corner in range(3):
            x, y, _ = mesh.triangles[face, corner]
            assert mesh.appearance.uv[face, corner] == pytest.approx([-x, y])


def test_vertex_and_face_colors_of_other_formats():
    colors = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [9, 9, 9, 255]])
    plain = trimesh.Trimesh(SQUARE, FACES, vertex_colors=colors.astype(np.uint8), process=False)
    for kind in ("ply", "glb"):
        mesh = load_mesh(plain.export(file_type=kind), kind, appearance=True)
        appearance = mesh.appearance
        assert appearance.colors_at(np.zeros(3, int), np.eye(3)).tolist() == colors[:3, :3].tolist()
    assert (
        load_mesh(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2", "off", appearance=True).appearance
        is None
    )
