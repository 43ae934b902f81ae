"""VRML against the standard's own definitions, worked out here in another way."""

import gzip
import io
import re
import time

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from triform.geometry.io import limits
from triform.geometry.io.load import load_mesh
from triform.geometry.io.vrml import read
from triform.geometry.io.vrml.primitives import extrusion
from triform.geometry.mesh import MeshError
from triform.geometry.voxels.surface import is_watertight

HEAD = "#VRML V2.0 utf8\n"
SQUARE = "coord Coordinate { point [0 0 0, 1 0 0, 1 1 0, 0 1 0] } coordIndex [0 1 2 3 -1]"
TWO = "coord Coordinate { point [0 0 0, 1 0 0, 1 1 0, 0 1 0] } coordIndex [0 1 2 -1 0 2 3]"
RED = "appearance Appearance { material Material { diffuseColor 1 0 0 } }"


def load(text, files=None, **options):
    return load_mesh((HEAD + text).encode(), "wrl", files, **options)


def shape(geometry, appearance=""):
    return f"Shape {{ {appearance} geometry {geometry} }}"


def faces(fields, appearance=""):
    return shape(f"IndexedFaceSet {{ {fields} }}", appearance)


@pytest.mark.parametrize(
    ("geometry", "volume", "bounds"),
    [
        ("Box { size 1 2 3 }", 6, (-0.5, -1, -1.5, 0.5, 1, 1.5)),
        ("Sphere { radius 2 }", 32 / 3 * np.pi, (-2, -2, -2, 2, 2, 2)),
        ("Cylinder { radius 2 height 3 }", 12 * np.pi, (-2, -1.5, -2, 2, 1.5, 2)),
        ("Cone { bottomRadius 1 height 3 }", np.pi, (-1, -1.5, -1, 1, 1.5, 1)),
        ("Extrusion {}", 4, (-1, 0, -1, 1, 1, 1)),
        ("Extrusion { spine [0 0 0, 0 -2 0] }", 8, (-1, -2, -1, 1, 0, 1)),
        # A frustum: its ends 2 x 2 and 4 x 4, 2 apart.
        ("Extrusion { spine [0 0 0, 0 0 2] scale [1 1, 2 2] }", 56 / 3, (-2, -2, 0, 2, 2, 2)),
        # Turned by a quarter between its ends, three corners removed by one: concave.
        (
            "Extrusion { crossSection [1 1, 1 -1, -1 -1, -1 1, 0 0, 1 1] ccw TRUE }",
            3,
            (-1, 0, -1, 1, 1, 1),
        ),
        # A square ring: the outline keeps its width across each corner's bisector.
        (
            "Extrusion { crossSection [.1 .1 .1 -.1 -.1 -.1 -.1 .1 .1 .1] "
            "spine [1 0 0, 0 0 1, -1 0 0, 0 0 -1, 1 0 0] beginCap FALSE endCap FALSE }",
            0.2 * 0.2 * np.sqrt(0.5) * 4 * np.sqrt(2),
            (-1.1, -0.1, -1.1, 1.1, 0.1, 1.1),
        ),
    ],
)
def test_solids_are_closed_and_wind_outward(geometry, volume, bounds):
    mesh = load(shape(geometry))
    assert is_watertight(mesh)
    # 32 segments of a circle have 0.6 % less area, 16 x 32 pieces of a ball 1.6 % less volume.
    assert mesh.volume == pytest.approx(volume, rel=0.017)
    assert np.allclose(mesh.bounds.ravel(), bounds, atol=1e-9)
    assert mesh.face_colors is None


def test_open_solids():
    assert load(shape("Cylinder { top FALSE bottom FALSE }")).area == pytest.approx(
        4 * np.pi, rel=0.01
    )
    assert load(shape("Cone { side FALSE }")).area == pytest.approx(np.pi, rel=0.01)
    assert load(shape("Extrusion { beginCap FALSE endCap FALSE }")).area == pytest.approx(8)


def test_extrusion_turns_its_outline():
    quarter = "orientation [0 1 0 0, 0 1 0 1.5707963]"
    line = "crossSection [0 0, 1 0] beginCap FALSE endCap FALSE"
    mesh = load(shape(f"Extrusion {{ {line} {quarter} }}"))
    rows = {tuple(row) for row in mesh.vertices.round(6).tolist()}
    assert rows == {(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, -1)}


def test_elevation_grid():
    mesh = load(
        shape(
            "ElevationGrid { xDimension 3 zDimension 2 xSpacing 2 zSpacing 3 "
            "height [0 1 0 0 1 0] colorPerVertex FALSE "
            "color Color { color [1 0 0, 0 0 1] } }"
        )
    )
    assert mesh.bounds.tolist() == [[0, 0, 0], [4, 1, 3]]
    assert (mesh.face_normals[:, 1] > 0).all()
    assert mesh.face_colors.tolist() == [[255, 0, 0]] * 2 + [[0, 0, 255]] * 2


def test_transform_is_the_standards_product():
    """P' = T C R SR S -SR -C P, point by point."""
    center, move = np.array([0.3, 0.2, 0.1]), np.array([1, 2, 3])
    turn = Rotation.from_rotvec(0.7 * np.array([1, 2, 3]) / np.sqrt(14))
    axes = Rotation.from_rotvec(0.4 * np.array([0, 1, 1]) / np.sqrt(2))
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.3]])
    text = (
        "Transform { translation 1 2 3 rotation 1 2 3 0.7 scale 1 2 .5 "
        "scaleOrientation 0 1 1 0.4 center .3 .2 .1 children "
        + faces(TWO.replace("0 1 0]", "0 1 .3]"))
        + "}"
    )
    expected = turn.apply(axes.apply(axes.inv().apply(points - center) * [1, 2, 0.5])) + center
    assert np.allclose(load(text).vertices, expected + move)
    nested = f"Transform {{ rotation 0 0 1 1.5707963267948966 children [ {text} ] }}"
    x, y, z = (expected + move).T
    assert np.allclose(load(nested).vertices, np.stack([-y, x, z], 1))


def test_mirrors_keep_the_outside_outside():
    mesh = load(f"Transform {{ scale -1 2 1 children {shape('Box {}')} }}")
    assert is_watertight(mesh) and mesh.volume == pytest.approx(16)
    inside = load(faces(f"{SQUARE} ccw FALSE"))
    assert np.allclose(inside.face_normals, [0, 0, -1])


def test_names_are_used_again():
    mesh = load(
        f"DEF B {shape('Box {}', RED)} Transform {{ translation 5 0 0 children USE B }}"
        "Group { children [ Transform { translation 0 5 0 children [ USE B ] } ] }"
    )
    assert mesh.volume == pytest.approx(24)
    assert mesh.bounds.tolist() == [[-1, -1, -1], [6, 6, 1]]


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("Switch { whichChoice 1 choice [ S S ] }", 1),
        ("Switch { choice [ S ] } S", 1),
        ("LOD { range [1] level [ Group { children [S S] } S ] }", 2),
        ('Anchor { url "x" children S }', 1),
        ("Collision { proxy S children [ S S ] }", 2),
        ('Billboard { children [S] } Text { string "} {" } PointLight {}', 1),
        ("Shape { geometry IndexedLineSet { coordIndex [0 1 -1] } } Shape {} S", 1),
        ('Script { url ["a" "b # c"] eventIn SFBool x field SFNode y NULL } S', 1),
        ('S ROUTE a.b TO c.d WorldInfo { info ["x\\"{"] } # S', 1),
        ('NavigationInfo { type [ "EXAMINE", "ANY" ] } Background { skyColor [0 0 1] } S', 1),
    ],
)
def test_what_is_shown(text, boxes):
    text = re.sub(r"\bS\b", shape("Box {}"), text)
    assert len(load(text).faces) == 12 * boxes


def test_prototypes():
    text = """
    PROTO Leg [ field SFVec3f at 0 0 0 exposedField SFColor paint 1 0 0 eventIn SFBool x ] {
      Transform { translation IS at children Shape {
        appearance Appearance { material DEF M Material { diffuseColor IS paint } }
        geometry Box { size 1 1 1 } } }
      Group { children Shape { geometry Sphere {} } }
    }
    PROTO Pair [ field MFNode others [] field SFColor paint 0 1 0 ] {
      Group { children [ Leg { at 5 0 0 paint IS paint } Group { children IS others } ] }
    }
    EXTERNPROTO Far [ field SFColor paint eventOut SFBool x ] [ "far.wrl" "urn:x" ]
    Leg {}
    Pair { paint 0 0 1 others [ Leg { at 0 5 0 } ] }
    Far { paint 1 1 1 }
    """
    mesh = load(text)
    assert len(mesh.faces) == 36
    assert mesh.face_colors.tolist() == [[255, 0, 0]] * 12 + [[0, 0, 255]] * 12 + (
        [[255, 0, 0]] * 12
    )
    assert mesh.bounds.tolist() == [[-0.5] * 3, [5.5, 5.5, 0.5]]


COLORS = "color Color { color [1 0 0, 0 1 0, 0 0 1] }"


@pytest.mark.parametrize(
    ("fields", "corners"),
    [
        (f"{TWO} colorPerVertex FALSE {COLORS}", "rrr ggg"),
        (f"{TWO} colorPerVertex FALSE colorIndex [2 0] {COLORS}", "bbb rrr"),
        (f"{TWO} {COLORS.replace('0 0 1]', '0 0 1, 1 0 0]')}", "rgb rbr"),
        (f"{TWO} colorIndex [0 1 2 -1 2 2 0 -1] {COLORS}", "rgb bbr"),
        (f"{TWO} colorIndex [0 1 2 -1 2 2 9 -1] {COLORS}", "... ..."),  # no such colour
        (f"{TWO} colorIndex [0 1 2 -1] {COLORS}", "... ..."),  # too few
        (TWO, "... ..."),
    ],
)
def test_colors_of_faces_and_corners(fields, corners):
    known = {"r": [255, 0, 0], "g": [0, 255, 0], "b": [0, 0, 255], ".": [51, 102, 153]}
    material = "appearance Appearance { material Material { diffuseColor .2 .4 .6 } }"
    mesh = load(faces(fields, material), appearance=True)
    expected = np.array([[known[letter] for letter in face] for face in corners.split()])
    assert mesh.face_colors.tolist() == expected.mean(axis=1).astype(int).tolist()
    for corner in range(3):
        shares = np.tile(np.eye(3)[corner], (2, 1))
        actual = mesh.appearance.colors_at(np.arange(2), shares)
        assert actual.tolist() == expected[:, corner].tolist()


def test_materials():
    mesh = load(
        shape(
            "Box {}",
            "appearance Appearance { material Material { diffuseColor .1 .2 .3 "
            "emissiveColor .2 .4 .6 transparency .75 } }",
        )
        + shape("Box {}", "appearance Appearance { material Material {} }")
        + shape("Box {}"),
        appearance=True,
    )
    # What a surface sends out by itself is seen as well as what it reflects.
    expected = [[0.3 * 255, 0.6 * 255, 0.9 * 255], [204] * 3, [200] * 3]
    assert np.abs(mesh.face_colors[[0, 12, 24]] - expected).max() < 1
    appearance = mesh.appearance
    assert [appearance.materials[i].opacity for i in appearance.material[[0, 12, 24]]] == [
        0.25,
        1,
        1,
    ]


def test_textures():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 200
    image[:4] //= 2  # the upper half darker
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    texture = 'appearance Appearance { texture ImageTexture { url ["no.png" "p.png"] } %s }'
    files = {"p.png": file.getvalue()}
    inputs = "texCoord TextureCoordinate { point [.6 .1, .9 .1, .9 .4, .6 .4] }"
    one = load(faces(f"{TWO} {inputs}", texture % ""), files, appearance=True)
    assert one.face_colors.tolist() == [[200] * 3] * 2
    moved = texture % "textureTransform TextureTransform { translation 0 .5 }"
    assert load(faces(f"{TWO} {inputs}", moved), files).face_colors.tolist() == [[100] * 3] * 2
    # Without coordinates the image lies over the shape's longest sides.
    whole = load(faces(TWO, texture % ""), files, appearance=True)
    positions = np.array([[0.1, 0.5, 0.4]])  # x = .9, y = .4 in the first triangle
    assert whole.appearance.colors_at(np.array([0]), positions).tolist() == [[200] * 3]
    assert load(faces(f"{TWO} {inputs}", texture % "")).face_colors is None


def test_other_files_are_placed(tmp_path):
    (tmp_path / "box.wrl").write_text(HEAD + shape("Box {}", RED))
    (tmp_path / "a.wrl").write_text(
        HEAD + 'Transform { translation 3 0 0 children Inline { url "box.wrl" } } '
        'Inline { url ["gone.wrl", "box.wrl"] } Inline { url "../../etc/passwd" }'
    )
    mesh = load_mesh(tmp_path / "a.wrl")
    assert mesh.volume == pytest.approx(16) and mesh.bounds[1].tolist() == [4, 1, 1]
    (tmp_path / "b.wrl").write_text(HEAD + 'Inline { url "c.wrl" }')
    (tmp_path / "c.wrl").write_text(HEAD + 'Inline { url "b.wrl" }')
    with pytest.raises(MeshError, match="within itself"):
        load_mesh(tmp_path / "b.wrl")


def test_packed_files(tmp_path, monkeypatch):
    text = (HEAD + shape("Box {}")).encode()
    for name, data in {
        "a.wrl": gzip.compress(text),
        "a.WRZ": gzip.compress(text),
        "a.b.wrl.gz": gzip.compress(text[:40]) + gzip.compress(text[40:]) + b"\0\0",
        "a.vrml": text,
    }.items():
        (tmp_path / name).write_bytes(data)
        assert len(load_mesh(tmp_path / name).faces) == 12
    monkeypatch.setattr(limits, "MAX_MEMORY", 10**7)
    for data, says in (
        (gzip.compress(bytes(2 * 10**6), mtime=0), "1000001 bytes of WRL"),
        (gzip.compress(text, mtime=0)[:-20], "ends in the middle"),
        (b"\x1f\x8b" + bytes(50), "damaged gzip"),
    ):
        with pytest.raises(MeshError, match=says):
            load_mesh(data, "wrz")


def test_number_lists_are_read_in_blocks(monkeypatch):
    from triform.geometry.io.vrml import parser

    monkeypatch.setattr(parser, "NUMBER_BLOCK_SIZE", 16)
    points = "0.0000 -1e-3 0, 1.5E0 0 0, # a note ] }\n +1 1.25 .5"
    mesh = load(faces(f"coord Coordinate {{ point [{points}] }} coordIndex [0\t1\r\n2]"))
    assert mesh.vertices.tolist() == [[0, -0.001, 0], [1.5, 0, 0], [1, 1.25, 0.5]]


BAD = {
    "VRML 1.0": ("#VRML V1.0 ascii\nSeparator {}", "VRML 2.0"),
    "other": ("solid cube\n", "does not begin with"),
    "nothing": (HEAD + "Group {}", "no faces"),
    "middle": (HEAD + shape("Box {}")[:-3], "line 2: a name expected, found the end"),
    "brackets": (HEAD + "Group { children ] }", "line 2: a name expected, found ']'"),
    "unknown name": (HEAD + "\nUSE Chair", "line 3: it uses 'Chair'"),
    "itself": (HEAD + "DEF A Group { children USE A }", "not defined before"),
    "itself as prototype": (HEAD + "PROTO P [] { P {} } P {}", "no faces"),
    "text": (HEAD + 'Text { string "a', "without an end"),
    "number": (HEAD + shape("Sphere { radius 1e }"), "line 2"),
    "vector": (HEAD + shape("Box { size 1 2 }"), "Box.size"),
    "long vector": (HEAD + shape("Box { size 1 2 3 4 5 6 }"), "Box.size has 6 numbers"),
    "field": (HEAD + shape("Box { size TRUE }"), "Box.size has to hold numbers"),
    "index": (HEAD + faces(SQUARE.replace("3 -1", "4 -1")), "there are 4"),
    "huge index": (HEAD + faces(SQUARE.replace("3 -1", "1e300")), "too large for an index"),
    "coordinate": (HEAD + faces(SQUARE.replace("1 1 0", "1e30 1 0")), "beyond 1e15"),
    "not finite": (HEAD + shape("Sphere { radius 1e999 }"), "beyond 1e15"),
    "grid": (HEAD + shape("ElevationGrid { xDimension 4 height [1 2 3 4 5] }"), "5 heights"),
    "extrusion": (HEAD + shape("Extrusion { spine [0 0 0] }"), "needs 2 of each"),
    "product": (
        HEAD
        + shape(
            f"Extrusion {{ crossSection [{'0 0 1 1 ' * 900}] spine [{'0 0 0 0 1 0 ' * 900}] }}"
        ),
        "too large",
    ),
    "deep": (HEAD + "Group{children[" * 50_000, "nested more than 256"),
    "deep prototypes": (HEAD + "PROTO A [] {" * 50_000, "nested more than 256"),
    "doubling": (
        HEAD
        + "DEF A0 Group {}"
        + "".join(
            f"DEF A{i} Group {{ children [USE A{i - 1} USE A{i - 1}] }}" for i in range(1, 60)
        ),
        "more than 1000 parts",
    ),
    "doubling prototypes": (
        HEAD
        + "PROTO P0 [] { Shape { geometry Sphere {} } }"
        + "".join(
            f"PROTO P{i} [] {{ Group {{ children [P{i - 1} {{}} P{i - 1} {{}}] }} }}"
            for i in range(1, 60)
        )
        + "P59 {}",
        "more than 1000 parts|too many corners|faces",
    ),
    "chain of prototypes": (
        HEAD
        + "PROTO P0 [] { Box {} }"
        + "".join(f"PROTO P{i} [] {{ P{i - 1} {{}} }}" for i in range(1, 99))
        + shape("P98 {}"),
        "prototypes within 16",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_line(name, monkeypatch):
    text, says = BAD[name]
    # Checked signatures make the walk slow.
    monkeypatch.setattr(read, "MAX_INSTANCE_COUNT", 1000)
    start = time.process_time()
    with pytest.raises(MeshError, match=says) as caught:
        load_mesh(text.encode(), "wrl")
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 20


def test_an_outline_keeps_its_side_where_the_line_bends_back():
    """Left, then right: the z axes of the bends point apart, and the outline must not turn over."""
    section = np.array([[0.1, 0.2], [0.1, -0.3], [-0.1, 0.0]])
    spine = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0], [2, 2, 0]])
    swept = extrusion(
        section, spine, np.ones((1, 2)), np.eye(3)[None], begin_cap=False, end_cap=False
    ).vertices.reshape(5, 3, 3)
    np.testing.assert_allclose(swept[..., 2], np.tile(section[:, 1], (5, 1)))
    # The line goes along y of the outline, so that x is what is left of y cross z.
    slant = np.sqrt(0.5)
    x_axes = [(0, -1), (slant, -slant), (slant, -slant), (slant, -slant), (1, 0)]
    for ring, position, axis in zip(swept, spine, x_axes, strict=True):
        np.testing.assert_allclose(ring[:, :2] - position[:2], section[:, :1] * axis, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ('Inline { url "gone.wrl" }', "1 Inline node whose file is not in the folder"),
        ('EXTERNPROTO Q [] "q.wrl" Q {} Q {}', "2 nodes of the unknown kind Q"),
        (f"Switch {{ choice {faces(SQUARE)} }}", "1 Switch node without a choice"),
        (
            faces(SQUARE, "appearance Appearance { texture PixelTexture { image 1 1 1 0 } }"),
            "1 texture by the node PixelTexture",
        ),
        (
            2 * faces(SQUARE, 'appearance Appearance { texture ImageTexture { url "a.png" } }'),
            "without its texture a.png: not in the folder of the model",
        ),
    ],
)
def test_what_is_left_out_is_said_once(text, left_out, caplog):
    load(f"Viewpoint {{}} NavigationInfo {{}} {text} {faces(SQUARE)}")
    assert caplog.text.count(left_out) == 1 and len(caplog.records) == 1
