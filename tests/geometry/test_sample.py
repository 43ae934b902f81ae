import numpy as np
import pytest

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.sample import sample_surface


def test_points_lie_on_their_faces(solids):
    mesh = solids.box((0, 0, 0), (1, 2, 3))
    colors = np.arange(36, dtype=np.uint8).reshape(12, 3)
    cloud = sample_surface(Mesh(mesh.vertices, mesh.faces, colors), 5000, 0)
    middle = np.array([0.5, 1, 1.5])
    outward = (cloud.points - middle) / middle
    axis = np.abs(cloud.normals).argmax(axis=1)
    assert np.allclose(np.take_along_axis(outward * cloud.normals, axis[:, None], 1), 1)
    face = (cloud.colors[:, 0] // 3).astype(int)
    assert np.allclose(cloud.normals, mesh.face_normals[face])
    a, b, c = np.moveaxis(mesh.triangles[face], 1, 0)
    normal = np.cross(b - a, c - a)
    for start, end in ((a, b), (b, c), (c, a)):
        side = np.einsum("ij,ij->i", np.cross(end - start, cloud.points - start), normal)
        assert (side >= -1e-9).all()


def test_every_face_gets_its_share(solids):
    mesh = solids.sphere(rings=30)
    tagged = np.zeros(mesh.faces.shape, np.uint8)
    tagged[:, 0], tagged[:, 1] = np.divmod(np.arange(len(mesh.faces)), 256)
    cloud = sample_surface(Mesh(mesh.vertices, mesh.faces, tagged), 20_000, 1)
    face = cloud.colors[:, 0].astype(int) * 256 + cloud.colors[:, 1]
    drawn = np.bincount(face, minlength=len(mesh.faces))
    assert (np.abs(drawn - mesh.face_areas / mesh.area * 20_000) < 2).all()
    # Even on the whole: the middle of a ball's surface is the middle of the ball.
    assert np.abs(cloud.points.mean(axis=0)).max() < 0.01
    assert (cloud.points**2).mean(axis=0) == pytest.approx([1 / 3] * 3, rel=0.03)


def test_seeds_decide(solids):
    mesh = solids.torus()
    one, same, other = (sample_surface(mesh, 100, seed).points for seed in (3, 3, 4))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_degenerate_faces_are_never_drawn():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]])
    faces = np.array([[3, 3, 3], [0, 1, 2], [0, 3, 0], [3, 3, 0]])
    assert sample_surface(Mesh(vertices, faces), 1000, 0).points.max() <= 1
    with pytest.raises(MeshError, match="no area"):
        sample_surface(Mesh(vertices, faces[:1]), 10, 0)


def test_count_is_checked(solids):
    with pytest.raises(MeshError, match="0 points"):
        sample_surface(solids.torus(), 0, 0)
