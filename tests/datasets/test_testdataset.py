"""The parametric objects: real proportions, closed solids, captions that tell the truth."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from triform.datasets.listing import list_shapes
from triform.datasets.testdataset import (
    GROUPS,
    GeneratedObject,
    generate_object,
    generate_objects,
    write_testdataset,
)
from triform.geometry.mesh import normalize
from triform.geometry.voxels.voxelize import voxelize

COUNT = 330
FORBIDDEN = re.compile(r"\b(left|right)\b|_|\d\d")


@pytest.fixture(scope="module")
def made() -> list[GeneratedObject]:
    return list(generate_objects(COUNT, seed=3))


def test_groups_and_kinds() -> None:
    assert len(GROUPS) == 10
    kinds = {maker.__name__ for makers in GROUPS.values() for maker in makers}
    assert len(kinds) >= 50
    assert {generate_object(number).group for number in range(10)} == set(GROUPS)


def test_every_kind_comes_up_and_every_solid_is_closed(made: list[GeneratedObject]) -> None:
    assert len({generated_object.kind for generated_object in made}) == len(
        {m.__name__ for g in GROUPS.values() for m in g}
    )
    for generated_object in made:
        mesh = trimesh.Trimesh(
            generated_object.mesh.vertices, generated_object.mesh.faces, process=False
        )
        assert mesh.is_watertight and mesh.is_winding_consistent, generated_object.name
        assert all(part.volume > 0 for part in mesh.split(only_watertight=False)), (
            generated_object.name
        )
        assert sum(count for _, count in generated_object.materials) == len(
            generated_object.mesh.faces
        )


def test_it_hangs_together_on_the_grid(made: list[GeneratedObject]) -> None:
    """Thin parts survive at 64^3: what is one thing stays one piece."""
    shares = []
    for generated_object in made[:120]:
        labels, count = ndimage.label(voxelize(generated_object.mesh, 64), np.ones((3, 3, 3)))
        shares.append(np.bincount(labels.ravel())[1:].max() / (labels > 0).sum())
        assert shares[-1] > 0.95, (generated_object.name, count, generated_object.captions[0])
    assert np.mean(shares) > 0.995


def test_proportions_are_those_of_real_things(made: list[GeneratedObject]) -> None:
    for generated_object in made:
        width, height, depth = np.ptp(generated_object.mesh.vertices, axis=0)
        assert generated_object.mesh.vertices[:, 1].min() > -0.3
        low, high = {
            "chair": (0.7, 1.3),
            "table": (0.6, 0.85),
            "desk": (0.7, 1.4),
            "bed": (0.3, 2.1),
            "sofa": (0.6, 1.1),
            "bookcase": (0.8, 2.2),
            "wardrobe": (1.7, 2.4),
            "door": (1.9, 2.3),
            "toilet": (0.3, 1.8),
            "car": (1.0, 2.1),
        }.get(generated_object.kind, (0.05, 5.0))
        assert low < height < high, (generated_object.name, height)
        if generated_object.kind in ("sofa", "bench"):
            assert width > depth
        if generated_object.kind in ("bed", "car", "bicycle", "truck", "bus", "motorcycle"):
            assert depth > width


def test_fronts_face_plus_z(made: list[GeneratedObject]) -> None:
    """Backs are behind: the upper part of a seat or bed lies towards -Z of the whole."""
    for generated_object in made:
        if (
            generated_object.kind not in ("chair", "sofa", "armchair", "toilet")
            or "lid" in generated_object.captions[0]
        ):
            continue
        points = normalize(generated_object.mesh).vertices
        top = points[points[:, 1] > np.percentile(points[:, 1], 85)]
        assert top[:, 2].mean() < points[:, 2].mean(), generated_object.name


def test_captions(made: list[GeneratedObject]) -> None:
    for generated_object in made:
        assert len(generated_object.captions) >= 3
        assert len(set(generated_object.captions)) == len(generated_object.captions)
        assert generated_object.captions[-1].startswith("3d model of ")
        assert generated_object.captions[-2] == generated_object.captions[-1].removeprefix(
            "3d model of "
        )
        for caption in generated_object.captions:
            assert not FORBIDDEN.search(caption), caption
            assert caption == caption.strip() and "  " not in caption
    assert len({generated_object.captions[0] for generated_object in made}) > 0.6 * len(made)


def test_counts_in_captions_are_true() -> None:
    """Legs are counted near the ground, where only they are."""
    expected, checked = {"three": 3, "four": 4}, 0
    for number in range(1, 700, 10):
        generated_object = generate_object(number, seed=5)
        match = re.search(r"(three|four) (?:\w+ )?legs", generated_object.captions[0])
        if (
            generated_object.kind not in ("table", "coffee table", "side table", "bar table")
            or not match
        ):
            continue
        grid = voxelize(generated_object.mesh, 64)
        bottom = grid[:, : np.argmax(grid.any(axis=(0, 2))) + 2].any(axis=1)
        assert ndimage.label(bottom, np.ones((3, 3)))[1] == expected[match[1]], (
            generated_object.captions[0]
        )
        checked += 1
    assert checked >= 10


def test_numbers_alone_decide() -> None:
    first, repeated, other = (
        generate_object(17, seed=1),
        generate_object(17, seed=1),
        generate_object(17, seed=2),
    )
    assert first.captions == repeated.captions
    np.testing.assert_array_equal(first.mesh.vertices, repeated.mesh.vertices)
    assert other.captions != first.captions or not np.array_equal(
        other.mesh.vertices, first.mesh.vertices
    )


def test_written_and_read_back(tmp_path: Path) -> None:
    ticks: list[int] = []
    write_testdataset(tmp_path, 20, seed=4, progress=ticks.append)
    assert sum(ticks) == 20
    shapes = {shape.object_id.split("/")[1]: shape for shape in list_shapes([tmp_path])}
    assert len(shapes) == 20
    for generated_object in generate_objects(20, seed=4):
        shape = shapes[generated_object.name]
        assert shape.captions == generated_object.captions
        assert shape.category == generated_object.kind
        mesh = shape.load()
        np.testing.assert_allclose(
            np.ptp(mesh.vertices, axis=0), np.ptp(generated_object.mesh.vertices, axis=0), rtol=1e-3
        )
        assert len(mesh.faces) == len(generated_object.mesh.faces)
        assert mesh.face_colors is not None and generated_object.mesh.face_colors is not None
        assert Counter(map(tuple, mesh.face_colors.tolist())) == Counter(
            map(tuple, generated_object.mesh.face_colors.tolist())
        )
    with (tmp_path / "captions.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["object_id", "caption", "category"]


@pytest.mark.slow
def test_4000_objects_are_all_buildable_and_different() -> None:
    captions_seen = {
        generated_object.mesh.vertices.tobytes() for generated_object in generate_objects(4000)
    }
    assert len(captions_seen) == 4000
