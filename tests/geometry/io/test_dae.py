"""COLLADA: axes, units, polygons of all kinds, and the colours of materials."""

import logging

import numpy as np
import pytest
from box_files import FACES, QUADS, RED, compare, dae

from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError

INPUT = '<input semantic="VERTEX" source="#x" offset="0"/>'


def material(diffuse="0.784 0.118 0.039 1", kind="lambert", more=""):
    color = f"<diffuse><color>{diffuse}</color></diffuse>" if diffuse else ""
    return (
        '<library_effects><effect id="e"><profile_COMMON><technique sid="t">'
        f"<{kind}>{color}{more}</{kind}></technique></profile_COMMON></effect></library_effects>"
        '<library_materials><material id="m"><instance_effect url="#e"/></material>'
        "</library_materials>"
    )


BOUND = (
    '<bind_material><technique_common><instance_material symbol="a" target="#m"/>'
    "</technique_common></bind_material>"
)


@pytest.mark.parametrize(
    ("axis", "high", "low"),
    [
        ("Y_UP", (1, 2, 3), (0, 0, 0)),
        ("", (1, 2, 3), (0, 0, 0)),
        ("Z_UP", (1, 3, 0), (0, 0, -2)),  # y goes away from the viewer, to -z
        ("X_UP", (0, 1, 3), (-2, 0, 0)),
    ],
)
@pytest.mark.parametrize("unit", ['<unit meter="1"/>', '<unit name="inch" meter="0.0254"/>', ""])
def test_axes_are_turned_and_units_are_the_files_own(axis, high, low, unit):
    compare(load_mesh(dae(axis, unit=unit), "dae"), high=high, low=low)


def test_heads_of_files():
    namespace = b' xmlns="http://www.collada.org/2005/11/COLLADASchema"'
    for data in (
        b"\xef\xbb\xbf\n" + dae(),
        dae().replace(namespace, b""),
        dae().replace(b"2005/11/COLLADASchema", b"2008/03/COLLADASchema"),
        dae().decode().replace("?>", ' encoding="UTF-16"?>', 1).encode("utf-16"),
    ):
        compare(load_mesh(data, "dae"))


def polygons(rows, tag="polylist"):
    if tag == "polylist":
        counts = " ".join(str(len(row)) for row in rows)
        index = " ".join(str(corner) for row in rows for corner in row)
        inner = f"<vcount>{counts}</vcount><p>{index}</p>"
    else:
        inner = "".join(f"<p>{' '.join(map(str, row))}</p>" for row in rows)
    return f'<{tag} count="{len(rows)}" material="a">{INPUT}{inner}</{tag}>'


AROUND = [[4, 0, 5, 1, 6, 2, 7, 3, 4, 0]]
QUAD_ROWS = QUADS.tolist()


@pytest.mark.parametrize(
    "primitive",
    [
        polygons(QUAD_ROWS),
        polygons(
            QUAD_ROWS[:3]
            + [row[:3] for row in QUAD_ROWS[3:]]
            + [[row[0], *row[2:]] for row in QUAD_ROWS[3:]]
        ),
        polygons(QUAD_ROWS, "polygons"),
        polygons(FACES.tolist(), "polygons"),
        polygons(AROUND, "tristrips") + polygons(QUAD_ROWS[:2], "trifans"),
        polygons(QUAD_ROWS[:4]) + polygons(QUAD_ROWS[4:], "polygons"),
    ],
)
def test_polygons_strips_and_fans(primitive):
    compare(load_mesh(dae(primitive=primitive), "dae"))


def test_concave_polygons():
    # The floor's corners and one inside: fans would leave the outline.
    primitive = polygons([[0, 1, 2, 3]])
    data = dae(primitive=primitive).replace(
        b">0 0 0 1 0 0 1 2 0 0 2 0 ", b">0 0 0 4 0 0 1 1 0 0 4 0 "
    )
    mesh = load_mesh(data, "dae")
    assert mesh.area == pytest.approx(4) and np.allclose(mesh.face_normals, [0, 0, 1])


def test_nodes_mirror_and_nest():
    node = "<matrix>-1 0 0 5 0 1 0 0 0 0 1 0 0 0 0 1</matrix><scale>1 2 1</scale>"
    compare(load_mesh(dae(node=node), "dae"), 12, 38, 12, (5, 4, 3), (4, 0, 0))


@pytest.mark.parametrize("kind", ["lambert", "phong", "blinn"])
def test_diffuse_colors(kind):
    mesh = load_mesh(dae(material=material(kind=kind), binding=BOUND), "dae", appearance=True)
    assert mesh.face_colors.tolist() == [list(RED)] * 12
    assert mesh.appearance.materials[0].opacity == 1


def test_emission_is_the_color_of_constant_materials():
    emission = "<emission><color>0.784 0.118 0.039 1</color></emission>"
    data = dae(material=material("", "constant", emission), binding=BOUND)
    assert load_mesh(data, "dae").face_colors.tolist() == [list(RED)] * 12


@pytest.mark.parametrize(
    ("more", "opacity"),
    [
        (
            "<transparent><color>1 1 1 1</color></transparent><transparency><float>0.25</float>"
            "</transparency>",
            0.25,
        ),
        ("<transparent><color>1 1 1 0.5</color></transparent>", 0.5),
        (
            '<transparent opaque="RGB_ZERO"><color>0.5 0.5 0.5 1</color></transparent>'
            "<transparency><float>1</float></transparency>",
            0.5,
        ),
        ("<transparency><float>0</float></transparency>", 1),
    ],
)
def test_opacity(more, opacity):
    mesh = load_mesh(dae(material=material(more=more), binding=BOUND), "dae", appearance=True)
    assert mesh.appearance.materials[0].opacity == pytest.approx(opacity)


def test_vertex_colors():
    values = " ".join(["0.784 0.118 0.039"] * 8)
    sources = (
        f'<source id="c"><float_array id="ca" count="24">{values}</float_array><technique_common>'
        '<accessor source="#ca" count="8" stride="3"><param name="R" type="float"/>'
        '<param name="G" type="float"/><param name="B" type="float"/></accessor>'
        "</technique_common></source>"
    )
    index = " ".join(f"{i} {i}" for i in FACES.ravel())
    primitive = (
        f'<triangles count="12">{INPUT}<input semantic="COLOR" source="#c" offset="1"/>'
        f"<p>{index}</p></triangles>"
    )
    mesh = load_mesh(dae(primitive=primitive, sources=sources), "dae")
    assert mesh.face_colors.tolist() == [list(RED)] * 12


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (dae(primitive=f'<lines count="1">{INPUT}<p>0 1</p></lines>'), "1 primitive of lines"),
        (dae(primitive=""), "its scene places none of its 1 meshes"),
        (dae(scene=""), "it shows no scene"),
        (
            dae()
            .replace(b'<instance_geometry url="#g">', b"")
            .replace(b"</instance_geometry>", b""),
            "places none of its 1 meshes",
        ),
        (
            dae().replace(b"instance_geometry", b"instance_none"),
            "1 element that cannot be read .the first: DaeUnsupportedError: Unknown scene node",
        ),
        (dae()[:-200], "damaged, or no DAE file"),
        (dae().replace(b"0 3 2 ", b"0 3 9 ", 1), "element"),
    ],
)
def test_the_true_reason(data, reason):
    with pytest.raises(MeshError, match=reason):
        load_mesh(data, "dae")


def test_promised_faces_that_are_missing_are_said(caplog):
    data = dae().replace(b'<triangles count="12"', b'<triangles count="14"')
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(data, "dae"))
    (record,) = caplog.records
    assert "2 promised faces that the file does not have" in record.getMessage()


def test_polygons_with_holes_are_said(caplog):
    hole = "<ph><p>0 1 2</p><h>0 1 2</h></ph>"
    rows = "".join(f"<p>{' '.join(map(str, row))}</p>" for row in QUAD_ROWS)
    with caplog.at_level(logging.WARNING):
        compare(
            load_mesh(dae(primitive=f'<polygons count="7">{INPUT}{rows}{hole}</polygons>'), "dae")
        )
    assert caplog.records[-1].getMessage() == "mesh: left out: 1 polygon with holes"
    with pytest.raises(MeshError, match="no faces in it: 1 polygon with holes"):
        load_mesh(dae(primitive=f'<polygons count="1">{INPUT}{hole}</polygons>'), "dae")
