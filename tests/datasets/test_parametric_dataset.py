"""The data set `parametric`: true captions, closed solids, and nothing that is held out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import trimesh

from triform.datasets.listing import list_shapes
from triform.datasets.load import PARAMETRIC_SOURCES, load_dataset
from triform.datasets.parametric.varied import held_out
from triform.datasets.parametric.varied.counted_tables import leg_positions
from triform.datasets.parametric.varied.finishes import COLORS as PALETTE
from triform.datasets.parametric_dataset import generate_varied_object, write_parametric
from triform.geometry.voxels.voxelize import voxelize
from triform.metrics.furniture_structure import count_fronts, count_shelves
from triform.metrics.shape_structure import count_legs
from triform.tasks.shape_generation.attribute_parser import parse_attributes
from triform.tasks.shape_generation.attributes import COLORS
from triform.tasks.shape_generation.surface_color import surface_color

COUNT = 60


@pytest.fixture(scope="module")
def objects() -> list:
    return [generate_varied_object(index, seed=11) for index in range(COUNT)]


def test_solids_are_closed_and_coloured(objects: list) -> None:
    for generated in objects:
        mesh = trimesh.Trimesh(generated.mesh.vertices, generated.mesh.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent, generated.name
        assert sum(count for _, count in generated.materials) == len(generated.mesh.faces)
        names = [name for name, count in generated.materials for _ in range(count)]
        assert [f"color_{r:02x}{g:02x}{b:02x}" for r, g, b in generated.mesh.face_colors] == names


def test_nothing_held_out_occurs(objects: list) -> None:
    for generated in objects:
        said = parse_attributes(generated.captions[0])
        assert (said.form, said.legs) not in held_out.LEGS.get(said.kind, ())
        if said.kind == "bookcase":
            assert (said.shelves, said.doors) not in held_out.SHELVES["doors"]
            assert (said.shelves, said.drawers) not in held_out.SHELVES["drawers"]
        assert (said.doors, said.drawers) not in held_out.DOORS.get(said.kind, ())
        assert said.color not in held_out.COLORS.get(said.kind, ())
        assert said.material != held_out.MATERIALS.get(said.kind, "none")
        assert not any(map(held_out.has_held_out_word, generated.captions))


def test_counted_parts_are_there(objects: list) -> None:
    """Numbers of the captions, counted in the voxels; odd objects are the counted designs."""
    checked = 0
    for generated in objects[1::2]:
        said = parse_attributes(generated.captions[0])
        occupancy = voxelize(generated.mesh, 128)
        if said.kind in ("table", "coffee table", "side table", "stool"):
            assert count_legs(occupancy) == said.legs, generated.captions[0]
        elif said.kind == "bookcase":
            assert count_shelves(occupancy) == said.shelves, generated.captions[0]
            # Low doors may be wider than high, which makes them drawers by their form.
            num_fronts = (said.doors or 0) + (said.drawers or 0)
            assert sum(count_fronts(occupancy)) == num_fronts, generated.captions[0]
        else:
            fronts = (said.doors or 0, said.drawers or 0)
            assert count_fronts(occupancy) == fronts, generated.captions[0]
        checked += 1
    assert checked == COUNT // 2


def test_colors_of_captions_are_those_of_the_surface(objects: list) -> None:
    for generated in objects[1::2]:
        color = parse_attributes(generated.captions[0]).color
        if color:
            assert surface_color(generated.mesh, PALETTE) == color, generated.captions[0]


def test_numbers_alone_decide() -> None:
    first, repeated = (generate_varied_object(7, seed=1) for _ in range(2))
    assert first.captions == repeated.captions
    np.testing.assert_array_equal(first.mesh.vertices, repeated.mesh.vertices)
    other = generate_varied_object(7, seed=2)
    assert not np.array_equal(first.mesh.vertices, other.mesh.vertices)


def test_written_and_read_back(tmp_path: Path) -> None:
    write_parametric(tmp_path, 4, seed=4)
    shapes = {shape.object_id.split("/")[1]: shape for shape in list_shapes([tmp_path])}
    for index in range(4):
        generated = generate_varied_object(index, seed=4)
        shape = shapes[generated.name]
        assert (shape.captions, shape.category) == (generated.captions, generated.kind)
        mesh = shape.load()
        assert mesh.face_colors is not None
        np.testing.assert_array_equal(mesh.face_colors, generated.mesh.face_colors)


def test_by_name(tmp_path: Path) -> None:
    (folder,) = load_dataset("parametric:3", tmp_path)
    assert folder == tmp_path / "parametric_3" and len(list(folder.glob("*.obj"))) == 3
    assert load_dataset("parametric:3", tmp_path) == [folder]
    assert {"parametric", "testdataset"} == PARAMETRIC_SOURCES


@pytest.mark.parametrize(("form", "count"), [*itertools.product(["round", "square"], [3, 4, 5, 6])])
def test_legs_stand_apart_under_the_top(form: str, count: int) -> None:
    positions = leg_positions(form, count)
    assert len(positions) == count and np.abs(positions).max() < 1
    gaps = [np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in itertools.combinations(positions, 2)]
    assert min(gaps) > 0.75


def test_held_out_words_in_singular_and_plural() -> None:
    assert len(held_out.held_out_words()) == 100
    assert held_out.has_held_out_word("Two couches")
    assert held_out.has_held_out_word("a lorry and lorries")
    assert not held_out.has_held_out_word("a cabinet in the cottage")  # no "cab", no "cot"
    assert held_out.without_held_out_words(["a couch", "a sofa"]) == ("a sofa",)


def test_each_color_is_held_out_twice() -> None:
    colors = sorted(color for colors in held_out.COLORS.values() for color in colors)
    assert colors == sorted([*COLORS, *COLORS])
