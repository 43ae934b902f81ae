"""3MF: part files, components, units, and colours of all kinds of properties."""

import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from box_files import RED, VERTICES, compare, object_3mf, threemf
from PIL import Image

from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError

CASES = Path(__file__).parents[2] / "cases"


def model(resources, build='<item objectid="1"/>'):
    return f"<resources>{resources}</resources><build>{build}</build>"


def test_cases_of_public_reports():
    mesh = load_mesh(CASES / "3mf_basematerials.3mf")
    compare(mesh)
    assert mesh.face_colors.tolist() == [list(RED)] * 12
    compare(load_mesh(CASES / "3mf_production_sameid.3mf"), 18, 54, 24, (6, 2, 3))


def test_items_components_and_transforms():
    turn = "0 1 0 -1 0 0 0 0 1 10 0 0"  # x to y, y to -x, then along x
    resources = object_3mf(1) + (
        '<object id="2"><components><component objectid="1"/>'
        f'<component objectid="1" transform="{turn}"/></components></object>'
        '<object id="3"><components><component objectid="2" transform="1 0 0 0 1 0 0 0 1 0 0 7"/>'
        "</components></object>"
    )
    compare(
        load_mesh(threemf(model(resources, '<item objectid="3"/>')), "3mf"),
        12,
        44,
        24,
        (10, 2, 10),
        (0, 0, 7),
    )
    mirror = '<item objectid="1" transform="-1 0 0 0 2 0 0 0 1 0 0 0"/><item objectid="1"/>'
    compare(
        load_mesh(threemf(model(object_3mf(1), mirror)), "3mf"), 18, 60, 24, (1, 4, 3), (-1, 0, 0)
    )


def test_part_files_with_equal_ids_in_every_case_and_place():
    parts = {
        f"3D/Objects/Part_{number}.model": model(
            object_3mf(1, vertices=VERTICES * [number, 1, 1]), ""
        )
        for number in (1, 2)
    }
    build = (
        '<item objectid="1" p:path="/3D/Objects/Part_1.model"/>'
        '<item objectid="7" transform="1 0 0 0 1 0 0 0 1 4 0 0"/>'
    )
    root = model(
        '<object id="7"><components><component objectid="1" p:path="3d/objects/part_2.MODEL"/>'
        "</components></object>",
        build,
    )
    archive = threemf(root, parts, 'requiredextensions="p"')
    compare(load_mesh(archive, "3mf"), 18, 54, 24, (6, 2, 3))


def test_the_root_is_what_the_relations_name():
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Target="/Other/box.model" Id="r" '
        'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
    )
    large = model(object_3mf(1, vertices=VERTICES * 5))
    archive = threemf(large, {"Other/box.model": model(object_3mf(1))}, relations=relations)
    compare(load_mesh(archive, "3mf"))


def test_units_of_part_files_become_that_of_the_model():
    box = threemf(model(object_3mf(1)))
    for unit in ("micron", "inch", "meter"):
        edited = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(box)) as old, zipfile.ZipFile(edited, "w") as new:
            text = old.read("3D/3dmodel.model").decode()
            new.writestr("3D/3dmodel.model", text.replace("millimeter", unit))
        compare(load_mesh(edited.getvalue(), "3mf"))


BASE = (
    '<basematerials id="5"><base name="a" displaycolor="#C81E0A"/>'
    '<base name="b" displaycolor="#00FF0080"/></basematerials>'
)
COLORS = (
    '<m:colorgroup id="6"><m:color color="#C81E0AFF"/><m:color color="#0000FF"/></m:colorgroup>'
)
GREEN, BLUE, GREY = (0, 255, 0), (0, 0, 255), (200, 200, 200)


@pytest.mark.parametrize(
    ("resources", "colors"),
    [
        (BASE + object_3mf(1, 'pid="5" pindex="0"'), [RED] * 12),
        (BASE + object_3mf(1, 'pid="5" pindex="1"'), [GREEN] * 12),
        (BASE + object_3mf(1, 'pid="5"'), [RED] * 12),
        (COLORS + object_3mf(1, 'pid="6" pindex="1"'), [BLUE] * 12),
        (COLORS + object_3mf(1, "", lambda face: 'pid="6" p1="0"'), [RED] * 12),
        (
            COLORS + object_3mf(1, "", lambda face: f'pid="6" p1="{face % 2}"'),
            [RED, BLUE] * 6,
        ),
        # A triangle without a group of its own has that of the object.
        (
            BASE
            + COLORS
            + object_3mf(1, 'pid="5" pindex="1"', lambda face: 'pid="6" p1="1"' if face else ""),
            [GREEN] + [BLUE] * 11,
        ),
        (
            BASE + object_3mf(1, 'pid="5" pindex="1"', lambda face: 'p1="0"' if face else ""),
            [GREEN] + [RED] * 11,
        ),
        (
            COLORS + object_3mf(1, "", lambda face: 'pid="6" p1="1"' if face else ""),
            [GREY] + [BLUE] * 11,
        ),
        # Beyond the end of the group, or of no group.
        (
            COLORS + object_3mf(1, "", lambda face: f'pid="6" p1="{1 if face else 9}"'),
            [GREY] + [BLUE] * 11,
        ),
        (
            BASE + '<m:compositematerials id="7" matid="5" matindices="0 1">'
            '<m:composite values="1 0"/><m:composite values="0.5 0.5"/></m:compositematerials>'
            + object_3mf(1, "", lambda face: 'pid="7" p1="1"'),
            [(100, 142, 5)] * 12,
        ),
        (
            COLORS
            + '<m:multiproperties id="8" pids="6"><m:multi pindices="1"/><m:multi pindices="0"/>'
            "</m:multiproperties>" + object_3mf(1, "", lambda face: 'pid="8" p1="1"'),
            [RED] * 12,
        ),
    ],
)
def test_colors(resources, colors):
    mesh = load_mesh(threemf(model(resources)), "3mf", appearance=True)
    compare(mesh)
    assert mesh.face_colors.tolist() == [list(color) for color in colors]
    middle = mesh.appearance.colors_at(np.arange(12), np.full((12, 3), 1 / 3))
    assert middle.tolist() == mesh.face_colors.tolist()


def test_colors_of_corners_and_opacity():
    group = COLORS.replace("#0000FF", "#0000FF80")
    shape = object_3mf(1, "", lambda face: 'pid="6" p1="0" p2="1" p3="1"')
    mesh = load_mesh(threemf(model(group + shape)), "3mf", appearance=True)
    corners = mesh.appearance.colors_at(np.zeros(3, int), np.eye(3)).tolist()
    assert corners == [list(RED), list(BLUE), list(BLUE)]
    assert mesh.appearance.materials[0].opacity == pytest.approx((255 + 128 + 128) / 765, abs=2e-3)


def test_textures():
    image = io.BytesIO()
    Image.fromarray(np.uint8([[[255, 0, 0], [0, 0, 255]]])).save(image, "png")
    resources = (
        '<m:texture2d id="2" path="/3D/Textures/t.png" contenttype="image/png"/>'
        '<m:texture2dgroup id="3" texid="2"><m:tex2coord u="0.25" v="0.5"/>'
        '<m:tex2coord u="0.75" v="0.5"/></m:texture2dgroup>'
        + object_3mf(1, 'pid="3" pindex="0"', lambda face: f'pid="3" p1="{face % 2}"')
    )
    archive = threemf(model(resources), {"3D/Textures/t.png": image.getvalue()})
    mesh = load_mesh(archive, "3mf", appearance=True)
    assert mesh.face_colors.tolist() == [[255, 0, 0], [0, 0, 255]] * 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (threemf(model(object_3mf(1), "")), "its build places none of its 1 objects"),
        (threemf(model("", "")), "it has no objects"),
        (threemf(model(object_3mf(1), '<item objectid="9"/>')), "1 reference to an object that is"),
        (threemf(model(object_3mf(1, kind="support"))), "1 object of the type support"),
        (
            threemf(model('<object id="1"><mesh><vertices/><triangles/></mesh></object>')),
            "1 object without faces",
        ),
        (
            threemf(model(object_3mf(1)), attributes='requiredextensions="b"'),
            "3MF extension http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02",
        ),
        (threemf(model(object_3mf(1)))[:-40], "damaged or cut off, or no 3MF file"),
        (threemf(model(object_3mf(1)).replace("</vertices>", "")), "is no XML"),
        (
            threemf(model(object_3mf(1), '<item objectid="1" transform="1 0 0"/>')),
            "a transform has 3 numbers, it needs 12",
        ),
        (threemf(model(object_3mf(1).replace('v3="7"', 'v3="8"'))), "face indices run from 0 to 8"),
    ],
)
def test_the_true_reason(data, reason):
    with pytest.raises(MeshError, match=reason):
        load_mesh(data, "3mf")


def test_an_archive_of_something_else():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("letter.txt", "dear aunt")
    with pytest.raises(MeshError, match="the archive has no 3D model"):
        load_mesh(buffer.getvalue(), "3mf")


def test_what_is_left_out_is_said(caplog):
    resources = object_3mf(1) + object_3mf(2, kind="support")
    build = '<item objectid="1"/><item objectid="2"/><item objectid="3"/><item objectid="4"/>'
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(threemf(model(resources, build)), "3mf"))
    (record,) = caplog.records
    assert (
        "1 object of the type support, 2 references to an object that is not in the file"
        in record.getMessage()
    )


def test_colors_that_slicers_paint_are_said(caplog):
    painted = object_3mf(1, triangle=lambda face: 'paint_color="4"' if face < 5 else "")
    with caplog.at_level(logging.WARNING):
        compare(load_mesh(threemf(model(painted)), "3mf"))
    assert "left out: 5 painted triangles" in caplog.text
