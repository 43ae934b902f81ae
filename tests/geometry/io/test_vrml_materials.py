"""Materials of VRML that are defined in shapes of their own."""

from triform.geometry.io.load import load_mesh

SQUARE = (
    "geometry IndexedFaceSet { coord Coordinate { point [0 0 0, 1 0 0, 1 1 0, 0 1 0] } "
    "coordIndex [0 1 2 3 -1] }"
)


def load(text):
    return load_mesh(f"#VRML V2.0 utf8\n{text}".encode(), "wrl")


def test_shapes_that_define_a_material_are_no_loss(caplog):
    """KiCad's parts begin with all materials, each in a shape without a geometry."""
    material = "appearance Appearance { material DEF PIN Material { diffuseColor 1 0 0 } }"
    used = f"Shape {{ appearance Appearance {{ material USE PIN }} {SQUARE} }}"
    assert load(f"Shape {{ {material} }} {used}").face_colors.tolist() == [[255, 0, 0]] * 2
    assert not caplog.records
    load(used.replace("USE PIN", "Material {}") + "Shape { geometry PointSet {} }")
    assert "left out: 1 shape without faces (lines, points or text)" in caplog.text
