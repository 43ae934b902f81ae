import numpy as np
import pytest

from triform.geometry.mesh import MeshError
from triform.geometry.sampling.farthest import farthest_point_sample


def by_definition(points, count, start=0):
    nearest = np.full(len(points), np.inf)
    selected = []
    for _ in range(count):
        selected.append(start)
        x, y, z = (points - points[start]).T
        nearest = np.minimum(nearest, x * x + y * y + z * z)
        nearest[selected] = -1  # no point twice, equal ones neither
        start = int(nearest.argmax())
    return selected


def cloud(kind, count):
    random = np.random.default_rng(count)
    if kind == "ball":
        return random.normal(size=(count, 3))
    if kind == "sheet":
        return np.c_[random.random((count, 2)), np.zeros(count)]
    if kind == "lattice":  # equal points and equal distances everywhere
        return random.integers(0, 5, (count, 3)).astype(float)
    if kind == "clusters":
        return random.integers(0, 3, (count, 3)) * 1e9 + random.random((count, 3)) * 1e-3
    return np.zeros((count, 3))


@pytest.mark.parametrize("kind", ["ball", "sheet", "lattice", "clusters", "one place"])
@pytest.mark.parametrize("count", [1, 2, 16, 17, 333, 1500])
def test_exactly_the_definition(kind, count):
    points = cloud(kind, count)
    start = count // 2
    all_of_them = farthest_point_sample(points, count, start)
    assert all_of_them.tolist() == by_definition(points, count, start)
    # Each sampling begins the longer ones.
    assert farthest_point_sample(points, (count + 1) // 2, start).tolist() == (
        all_of_them[: (count + 1) // 2].tolist()
    )


def test_large_clouds():
    points = cloud("ball", 20_000)
    assert farthest_point_sample(points, 700, 7).tolist() == by_definition(points, 700, 7)
    single = points.astype(np.float32)
    assert farthest_point_sample(single, 300).tolist() == by_definition(single.astype(float), 300)


@pytest.mark.parametrize(
    ("points", "count", "start", "says"),
    [
        (np.zeros((5, 3)), 0, 0, "0 asked for of 5"),
        (np.zeros((5, 3)), 6, 0, "6 asked for of 5"),
        (np.zeros((5, 3)), 2, 5, "start is 5"),
        (np.full((5, 3), np.nan), 2, 0, "NaN"),
        (np.full((5, 3), 1e200), 2, 0, "1e15"),
    ],
)
def test_what_cannot_be_chosen(points, count, start, says):
    with pytest.raises(MeshError, match=says):
        farthest_point_sample(points, count, start)
