"""The parametric objects: real proportions, closed solids, captions that tell the truth."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from triform.datasets.furniture import GROUPS, Piece, build, pieces, write_testdataset
from triform.datasets.shape import list_shapes
from triform.geometry.mesh import normalize
from triform.geometry.voxelize import voxelize

COUNT = 330
FORBIDDEN = re.compile(r"\b(left|right)\b|_|\d\d")


@pytest.fixture(scope="module")
def made() -> list[Piece]:
    return list(pieces(COUNT, seed=3))


def test_groups_and_kinds() -> None:
    assert len(GROUPS) == 10
    kinds = {maker.__name__ for makers in GROUPS.values() for maker in makers}
    assert len(kinds) >= 50
    assert {build(number).group for number in range(10)} == set(GROUPS)


def test_every_kind_comes_up_and_every_solid_is_closed(made: list[Piece]) -> None:
    assert len({piece.kind for piece in made}) == len(
        {m.__name__ for g in GROUPS.values() for m in g}
    )
    for piece in made:
        mesh = trimesh.Trimesh(piece.mesh.vertices, piece.mesh.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent, piece.name
        assert all(part.volume > 0 for part in mesh.split(only_watertight=False)), piece.name
        assert sum(count for _, count in piece.materials) == len(piece.mesh.faces)


def test_it_hangs_together_on_the_grid(made: list[Piece]) -> None:
    """Thin parts survive at 64^3: what is one thing stays one piece."""
    shares = []
    for piece in made[:120]:
        labels, count = ndimage.label(voxelize(piece.mesh, 64), np.ones((3, 3, 3)))
        shares.append(np.bincount(labels.ravel())[1:].max() / (labels > 0).sum())
        assert shares[-1] > 0.95, (piece.name, count, piece.captions[0])
    assert np.mean(shares) > 0.995


def test_proportions_are_those_of_real_things(made: list[Piece]) -> None:
    for piece in made:
        width, height, depth = np.ptp(piece.mesh.vertices, axis=0)
        assert piece.mesh.vertices[:, 1].min() > -0.3
        low, high = {
            "chair": (0.7, 1.3), "table": (0.6, 0.85), "desk": (0.7, 1.4), "bed": (0.3, 2.1),
            "sofa": (0.6, 1.1), "bookcase": (0.8, 2.2), "wardrobe": (1.7, 2.4),
            "door": (1.9, 2.3), "toilet": (0.3, 1.8), "car": (1.0, 2.1),
        }.get(piece.kind, (0.05, 5.0))  # fmt: skip
        assert low < height < high, (piece.name, height)
        if piece.kind in ("sofa", "bench"):
            assert width > depth
        if piece.kind in ("bed", "car", "bicycle", "truck", "bus", "motorcycle"):
            assert depth > width


def test_fronts_face_plus_z(made: list[Piece]) -> None:
    """Backs are behind: the upper part of a seat or bed lies towards -Z of the whole."""
    for piece in made:
        if piece.kind not in ("chair", "sofa", "armchair", "toilet") or "lid" in piece.captions[0]:
            continue
        points = normalize(piece.mesh).vertices
        top = points[points[:, 1] > np.percentile(points[:, 1], 85)]
        assert top[:, 2].mean() < points[:, 2].mean(), piece.name


def test_captions(made: list[Piece]) -> None:
    for piece in made:
        assert len(piece.captions) >= 3
        assert len(set(piece.captions)) == len(piece.captions)
        assert piece.captions[-1].startswith("3d model of ")
        assert piece.captions[-2] == piece.captions[-1].removeprefix("3d model of ")
        for caption in piece.captions:
            assert not FORBIDDEN.search(caption), caption
            assert caption == caption.strip() and "  " not in caption
    assert len({piece.captions[0] for piece in made}) > 0.6 * len(made)


def test_counts_in_captions_are_true() -> None:
    """Legs are counted near the ground, where only they are."""
    wanted, checked = {"three": 3, "four": 4}, 0
    for number in range(1, 700, 10):
        piece = build(number, seed=5)
        told = re.search(r"(three|four) (?:\w+ )?legs", piece.captions[0])
        if piece.kind not in ("table", "coffee table", "side table", "bar table") or not told:
            continue
        grid = voxelize(piece.mesh, 64)
        bottom = grid[:, : np.argmax(grid.any(axis=(0, 2))) + 2].any(axis=1)
        assert ndimage.label(bottom, np.ones((3, 3)))[1] == wanted[told[1]], piece.captions[0]
        checked += 1
    assert checked >= 10


def test_numbers_alone_decide() -> None:
    first, again, other = build(17, seed=1), build(17, seed=1), build(17, seed=2)
    assert first.captions == again.captions
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    assert other.captions != first.captions or not np.array_equal(
        other.mesh.vertices, first.mesh.vertices
    )


def test_written_and_read_back(tmp_path: Path) -> None:
    ticks: list[int] = []
    write_testdataset(tmp_path, 20, seed=4, progress=ticks.append)
    assert sum(ticks) == 20
    shapes = {shape.object_id.split("/")[1]: shape for shape in list_shapes([tmp_path])}
    assert len(shapes) == 20
    for piece in pieces(20, seed=4):
        shape = shapes[piece.name]
        assert shape.captions == piece.captions
        assert shape.category == piece.kind
        mesh = shape.load()
        np.testing.assert_allclose(
            np.ptp(mesh.vertices, axis=0), np.ptp(piece.mesh.vertices, axis=0), rtol=1e-3
        )
        assert len(mesh.faces) == len(piece.mesh.faces)
        assert mesh.face_colors is not None and piece.mesh.face_colors is not None
        assert Counter(map(tuple, mesh.face_colors.tolist())) == Counter(
            map(tuple, piece.mesh.face_colors.tolist())
        )
    with (tmp_path / "captions.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["object_id", "caption", "category"]


@pytest.mark.slow
def test_4000_objects_are_all_buildable_and_different() -> None:
    seen = {piece.mesh.vertices.tobytes() for piece in pieces(4000)}
    assert len(seen) == 4000
