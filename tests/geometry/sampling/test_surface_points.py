import numpy as np
import pytest
from scipy.spatial import cKDTree

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.sampling.farthest import farthest_point_sample
from triform.geometry.sampling.poisson import eliminate_samples
from triform.geometry.sampling.surface_points import sample_surface

SPACINGS = ("stratified", "farthest", "poisson")


@pytest.mark.parametrize("spacing", SPACINGS)
def test_points_lie_on_their_faces(solids, spacing):
    mesh = solids.box((0, 0, 0), (1, 2, 3))
    colors = np.arange(36, dtype=np.uint8).reshape(12, 3)
    points = sample_surface(Mesh(mesh.vertices, mesh.faces, colors), 5000, 0, spacing=spacing)
    assert len(points.points) == 5000
    middle = np.array([0.5, 1, 1.5])
    outward = (points.points - middle) / middle
    axis = np.abs(points.normals).argmax(axis=1)
    assert np.allclose(np.take_along_axis(outward * points.normals, axis[:, None], 1), 1)
    face = (points.colors[:, 0] // 3).astype(int)
    assert np.allclose(points.normals, mesh.face_normals[face])
    a, b, c = np.moveaxis(mesh.triangles[face], 1, 0)
    normal = np.cross(b - a, c - a)
    for start, end in ((a, b), (b, c), (c, a)):
        side = np.einsum("ij,ij->i", np.cross(end - start, points.points - start), normal)
        assert (side >= -1e-9).all()


def test_every_face_gets_its_share(solids):
    mesh = solids.sphere(rings=30)
    tagged = np.zeros(mesh.faces.shape, np.uint8)
    tagged[:, 0], tagged[:, 1] = np.divmod(np.arange(len(mesh.faces)), 256)
    points = sample_surface(Mesh(mesh.vertices, mesh.faces, tagged), 20_000, 1)
    face = points.colors[:, 0].astype(int) * 256 + points.colors[:, 1]
    drawn = np.bincount(face, minlength=len(mesh.faces))
    assert (np.abs(drawn - mesh.face_areas / mesh.area * 20_000) < 2).all()
    # Even on the whole: the middle of a ball's surface is the middle of the ball.
    assert np.abs(points.points.mean(axis=0)).max() < 0.01
    assert (points.points**2).mean(axis=0) == pytest.approx([1 / 3] * 3, rel=0.03)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_seeds_decide(solids, spacing):
    mesh = solids.torus()
    one, same, other = (
        sample_surface(mesh, 100, seed, spacing=spacing).points for seed in (3, 3, 4)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_degenerate_faces_are_never_drawn(spacing):
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]])
    faces = np.array([[3, 3, 3], [0, 1, 2], [0, 3, 0], [3, 3, 0]])
    points = sample_surface(Mesh(vertices, faces), 1000, 0, spacing=spacing)
    assert points.points.max() <= 1
    assert points.normals.tolist() == [[0, 0, 1]] * 1000
    with pytest.raises(MeshError, match="no area"):
        sample_surface(Mesh(vertices, faces[:1]), 10, 0)


def test_count_is_checked(solids):
    with pytest.raises(MeshError, match="0 points"):
        sample_surface(solids.torus(), 0, 0)
    with pytest.raises(MeshError, match="'even' is no spacing"):
        sample_surface.__wrapped__(solids.torus(), 10, 0, spacing="even")
    for count in (0, 11):
        with pytest.raises(MeshError, match=f"{count} points asked for of 10"):
            eliminate_samples(np.zeros((10, 3)), count, 1.0)


def nearest_distances(points):
    return cKDTree(points).query(points, k=2)[0][:, 1]


def test_spacing_on_a_ball(solids):
    """The figure of `benchmarks/points.py`: spread of the distance to the nearest neighbour."""
    mesh = solids.sphere(rings=60)
    point_sets = {name: sample_surface(mesh, 2048, 0, spacing=name).points for name in SPACINGS}
    spread = {}
    for name, points in point_sets.items():
        distances = nearest_distances(points)
        spread[name] = distances.std() / distances.mean()
        if name != "stratified":  # a Poisson disk: nobody is close to anybody
            assert distances.min() > 0.75 * distances.mean(), name
    assert spread["stratified"] > 0.35
    assert spread["farthest"] < 0.15 and spread["poisson"] < 0.15

    # How far the surface is from its points: the farthest ones cover it best of the three, and at
    # most twice as far as the best possible set would, which is what greed guarantees.
    dense = sample_surface(mesh, 100_000, 1).points
    hole = {name: cKDTree(points).query(dense)[0].max() for name, points in point_sets.items()}
    assert hole["farthest"] < hole["poisson"] < hole["stratified"]
    ideal = np.sqrt(4 * np.pi / 2048 * 2 / (3 * np.sqrt(3)))  # of the hexagonal lattice
    assert hole["farthest"] < 2 * ideal


def test_the_first_of_farthest_points_are_farthest_points(solids):
    points = sample_surface(solids.torus(), 1000, 5, spacing="farthest").points
    assert farthest_point_sample(points, 300).tolist() == list(range(300))


def test_sheets_upon_each_other_take_no_longer(solids):
    box = solids.box((0, 0, 0), (1, 1, 1))
    many = Mesh(box.vertices, np.tile(box.faces, (500, 1)))
    distances = nearest_distances(sample_surface(many, 2000, 0, spacing="poisson").points)
    assert distances.min() > 0.7 * distances.mean()
    # All in one place: nothing to choose by, and still the number that was asked for.
    assert eliminate_samples(np.ones((5000, 3)), 1000, 1.0).sum() == 1000


class Striped:
    """Stands for an appearance: the first corner's share decides."""

    def colors_at(self, faces, barycentric):
        assert np.allclose(barycentric.sum(axis=1), 1) and (barycentric >= -1e-12).all()
        return np.rint(np.stack([barycentric[:, 0] * 255, faces, faces * 0], 1)).astype(np.uint8)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_colors_of_an_appearance(spacing):
    vertices = np.array([[1.0, 0, 0], [0, 0, 0], [0, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 1]])  # the same place from both sides
    mesh = Mesh(vertices, faces)
    object.__setattr__(mesh, "appearance", Striped())
    points = sample_surface(mesh, 400, 0, spacing=spacing)
    # In these triangles the share of the first corner is x.
    assert np.abs(points.colors[:, 0] / 255 - points.points[:, 0]).max() < 0.003
    assert np.array_equal(points.normals[:, 2] > 0, points.colors[:, 1] == 1)
    assert 150 < points.colors[:, 1].sum() < 250
