import numpy as np
import pytest

from triform.geometry.mesh import Mesh, MeshError, normalize, weld

TRIANGLE = np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0]], dtype=np.float64)
ONE = np.array([[0, 1, 2]])


def test_areas_normals_and_volume(solids):
    mesh = Mesh(TRIANGLE, ONE)
    assert mesh.area == 6 and mesh.face_normals.tolist() == [[0, 0, 1]]
    box = solids.box((5, 5, 5), (6, 7, 9))
    assert box.area == pytest.approx(2 * (2 + 4 + 8))
    assert box.volume == pytest.approx(8)
    assert Mesh(box.vertices, box.faces[:, ::-1]).volume == pytest.approx(-8)
    assert Mesh(TRIANGLE, np.array([[0, 1, 1]])).face_normals.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("vertices", "faces", "colors", "message"),
    [
        (TRIANGLE, np.zeros((0, 3), int), None, "at least one face"),
        (TRIANGLE, np.array([[0, 1, 3]]), None, "0 to 3, but there are 3"),
        (TRIANGLE, np.array([[0, 1, -1]]), None, "from -1"),
        (TRIANGLE * np.nan, ONE, None, "NaN"),
        (TRIANGLE + np.inf, ONE, None, "infinity"),
        (TRIANGLE * 1e15, ONE, None, "1e15"),
    ],
)
def test_what_is_no_mesh(vertices, faces, colors, message):
    with pytest.raises(MeshError, match=message):
        Mesh(vertices, faces, colors)


def test_normalized_meshes_are_centred_and_one_long(solids):
    for seed in range(20):
        mesh = solids.soup(seed, 10)
        moved = Mesh(mesh.vertices * 10.0 ** (seed - 10) + seed, mesh.faces)
        shape = normalize(moved)
        low, high = shape.bounds
        assert (high - low).max() == 1 and np.abs(shape.vertices).max() == 0.5
        assert np.allclose(low, -high, atol=1e-6)
        assert np.allclose(normalize(shape).vertices, shape.vertices, atol=1e-15)


def test_normalize_forgets_vertices_without_a_face():
    stray = np.concatenate([[[1e9, 0, 0]], TRIANGLE])
    shape = normalize(Mesh(stray, ONE + 1))
    assert np.array_equal(shape.vertices, normalize(Mesh(TRIANGLE, ONE)).vertices)


def test_one_point_cannot_be_normalized():
    with pytest.raises(MeshError, match="one point"):
        normalize(Mesh(np.ones((3, 3)), ONE))


def test_weld_joins_equal_places_in_order(solids):
    ball = solids.sphere(rings=10)
    loose = Mesh(ball.triangles.reshape(-1, 3), np.arange(ball.faces.size).reshape(-1, 3))
    joined = weld(loose)
    assert np.array_equal(joined.triangles, ball.triangles)
    assert len(joined.vertices) == len(np.unique(ball.vertices, axis=0))
    first = np.unique(joined.faces.ravel(), return_index=True)[1]
    assert (np.diff(first) > 0).all()
    zeros = Mesh(np.array([[0.0, 0, 0], [-0.0, 0, 0], [1, 0, 0]]), ONE)
    assert len(weld(zeros).vertices) == 2
