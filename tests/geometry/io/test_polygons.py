import numpy as np
import pytest

from triform.geometry.io import polygons
from triform.geometry.io.polygons import triangulate
from triform.geometry.mesh import Mesh, MeshError


def cut(points):
    """Triangulate one polygon; returns its triangles (T, 3, 3)."""
    vertices = np.column_stack([points, np.zeros(len(points))]) if points.shape[1] == 2 else points
    triangles, polygon = triangulate(vertices, np.arange(len(points)), np.array([len(points)]))
    assert len(triangles) == len(points) - 2 and (polygon == 0).all()
    return Mesh(vertices, triangles)


def area(points):
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


L_SHAPE = np.array([[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]], dtype=np.float64)
COMB = np.array(
    [
        [0, 0],
        [7, 0],
        [7, 3],
        [6, 3],
        [6, 1],
        [5, 1],
        [5, 3],
        [4, 3],
        [4, 1],
        [3, 1],
        [3, 3],
        [2, 3],
        [2, 1],
        [1, 1],
        [1, 3],
        [0, 3],
    ],
    dtype=np.float64,
)
# A square with a square hole, joined by a bridge that is walked twice.
FRAME = np.array(
    [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]],
    dtype=np.float64,
)


@pytest.mark.parametrize("shape", [L_SHAPE, COMB, FRAME], ids=["L", "comb", "frame"])
def test_concave_polygons_keep_to_their_inside(shape):
    random = np.random.default_rng(0)
    for turn in range(len(shape)):
        for points in (np.roll(shape, turn, axis=0), np.roll(shape[::-1], turn, axis=0)):
            flat = cut(points)
            assert flat.area == pytest.approx(area(shape))
            sign = np.sign(flat.face_normals[:, 2])
            assert (sign[flat.face_areas > 0] == sign[flat.face_areas > 0][0]).all()
            basis = np.linalg.qr(random.normal(size=(3, 3)))[0][:, :2]
            assert cut(points @ basis.T * 7 + 5).area == pytest.approx(area(shape) * 49)


def test_random_stars():
    random = np.random.default_rng(1)
    for count in range(4, 65):
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        points = np.stack([np.cos(angle), np.sin(angle)], 1) * random.uniform(0.1, 1, (count, 1))
        assert cut(points).area == pytest.approx(area(points))


def test_convex_polygons_are_fans():
    angle = np.linspace(0, 2 * np.pi, 7, endpoint=False)
    faces = cut(np.stack([np.cos(angle), np.sin(angle)], 1)).faces
    assert faces.tolist() == [[0, i, i + 1] for i in range(1, 6)]


def test_polygons_that_cross_themselves_or_lie_in_a_line():
    bow = np.array([[0.0, 0], [1, 1], [1, 0], [0, 1]])
    for points in (bow, np.zeros((6, 2)), np.arange(10.0).repeat(2).reshape(10, 2)):
        assert len(cut(points).faces) == len(points) - 2


def test_many_polygons_at_once():
    vertices = np.column_stack([np.concatenate([L_SHAPE, L_SHAPE + 9]), np.zeros(12)])
    corners = np.array([0, 1, 2, 0, 1, *range(6), 7, *range(6, 12)])
    triangles, polygon = triangulate(vertices, corners, np.array([3, 2, 6, 1, 0, 6]))
    assert polygon.tolist() == [0, 2, 2, 2, 2, 5, 5, 5, 5]
    assert corners[triangles[0]].tolist() == [0, 1, 2]
    assert Mesh(vertices, corners[triangles[1:]]).area == pytest.approx(10)


def test_wrong_corners_and_large_polygons(monkeypatch):
    with pytest.raises(MeshError, match="1 to 4, but there are 3"):
        triangulate(np.zeros((3, 3)), np.array([0, 1, 3]), np.array([3]))
    # As many as a file likes of the largest kind take seconds, not hours.
    assert polygons.MAX_STEPS / polygons.MAX_CONCAVE_POLYGON**3 < 2
    wild = np.random.default_rng(0).random((2000, 2))
    assert len(cut(wild).faces) == 1998
    sizes = np.full(100, polygons.MAX_CONCAVE_POLYGON)
    triangles, _ = triangulate(
        np.random.default_rng(0).random((1024, 3)), np.tile(np.arange(1024), 100), sizes
    )
    assert len(triangles) == 100 * 1022


def test_a_large_concave_polygon_is_cut_inside():
    """The frame of a real tennis racket has 75 corners."""
    turn = np.linspace(0, 2 * np.pi, 150, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    ring = np.concatenate([circle, circle[:1], 0.8 * circle[:1], 0.8 * circle[::-1]])
    assert cut(ring).area == pytest.approx(area(ring), rel=1e-6)
