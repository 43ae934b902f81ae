import json
import math

import numpy as np
import pytest

from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.render.cameras import (
    FOV,
    Camera,
    even_cameras,
    fitting_fov,
    look_at_origin,
    random_cameras,
    turntable_cameras,
    upper_cameras,
)

GOOD = {"origin": [0, 0, 2], "x": [1, 0, 0], "y": [0, -1, 0], "z": [0, 0, -1], "fov": 0.7}


@pytest.mark.parametrize("make", [even_cameras, random_cameras, turntable_cameras, upper_cameras])
def test_cameras_look_at_the_middle_with_up_up(make):
    for camera in make(50):
        assert np.linalg.norm(camera.origin) == pytest.approx(2)
        assert np.allclose(camera.axes @ camera.axes.T, np.eye(3))
        # Right, down and into the scene turn to the right, as Shap-E's do.
        assert np.linalg.det(camera.axes) == pytest.approx(1)
        assert np.allclose(camera.origin + 2 * camera.z, 0)
        assert camera.y[1] <= 0 and abs(camera.x[1]) < 1e-12 and camera.fov == FOV


def test_even_cameras_are_even_and_seeded():
    for count in (6, 24, 60):
        positions = np.array([camera.origin for camera in even_cameras(count)]) / 2
        gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 9 * np.eye(count)
        # A spread as even as can be leaves about 3.6 / sqrt(n) to the nearest neighbour.
        assert gaps.min() > 2.5 / math.sqrt(count)
        assert np.abs(positions.mean(axis=0)).max() < 0.1
    first = [camera.to_json() for camera in even_cameras(7, seed=1)]
    assert first == [camera.to_json() for camera in even_cameras(7, seed=1)]
    assert first != [camera.to_json() for camera in even_cameras(7, seed=2)]
    assert len(even_cameras(1)) == 1


def test_upper_cameras_by_hand():
    """Heights in the middle of equal bands between 10 degrees below and 65 above the horizon."""
    low, high = math.sin(math.radians(-10)), math.sin(math.radians(65))
    cameras = upper_cameras(4, fov=0.5, seed=5)
    heights = [camera.origin[1] / 2 for camera in cameras]
    assert heights == pytest.approx([high - (high - low) * part / 8 for part in (1, 3, 5, 7)])
    turns = np.array([math.atan2(camera.origin[0], camera.origin[2]) for camera in cameras])
    golden = math.pi * (3 - math.sqrt(5))
    assert np.allclose(np.exp(1j * np.diff(turns)), np.exp(1j * golden))
    assert {camera.fov for camera in cameras} == {0.5}
    assert all(np.linalg.norm(camera.origin) == pytest.approx(2) for camera in cameras)
    repeated, other = (upper_cameras(4, seed=seed)[0].origin for seed in (5, 6))
    assert np.allclose(repeated, cameras[0].origin) and not np.allclose(repeated, other)


def test_random_cameras_are_uniform():
    heights = np.array([camera.origin[1] / 2 for camera in random_cameras(4000, seed=3)])
    # On a sphere every height is equally likely; 1.63 / sqrt(n) bounds the Kolmogorov distance.
    assert np.abs(np.sort(heights) - np.linspace(-1, 1, 4000)).max() / 2 < 1.63 / math.sqrt(4000)


def test_turntable_begins_at_the_front():
    cameras = turntable_cameras(4, 0.0)
    positions = np.array([camera.origin for camera in cameras])
    assert np.allclose(positions, [[0, 0, 2], [2, 0, 0], [0, 0, -2], [-2, 0, 0]])


def test_straight_from_above_and_below():
    for height in (1.0, -1.0):
        camera = look_at_origin(np.array([0.0, height, 0.0]))
        assert np.allclose(camera.z, [0, -height, 0]) and np.allclose(camera.x, [1, 0, 0])


def test_rays_go_through_the_middle_of_pixels():
    camera = look_at_origin(np.array([0.0, 0, 1]), fov=math.pi / 2)
    rays = camera.rays(4)
    assert np.allclose(rays[..., 2], -1)
    assert np.allclose(rays[0, :, 0], [-0.75, -0.25, 0.25, 0.75])
    assert np.allclose(rays[:, 0, 1], [0.75, 0.25, -0.25, -0.75])


def test_the_whole_object_fits_at_the_standard_distance(solids):
    cube = solids.box((-0.5,) * 3, (0.5,) * 3)
    for camera in [*even_cameras(200), *random_cameras(200)]:
        actual = (cube.vertices - camera.origin) @ camera.axes.T
        assert (np.abs(actual[:, :2]) < actual[:, 2:] * math.tan(camera.fov / 2)).all()
    assert fitting_fov(cube) == pytest.approx(FOV, abs=0.04)
    stick = normalize(solids.box((0, 0, 0), (0.1, 1, 0.1)))
    fov = fitting_fov(stick)
    assert fov < 0.56
    camera = look_at_origin(np.array([1.0, 0, 0]), fov=fov)
    actual = (stick.vertices - camera.origin) @ camera.axes.T
    reach = np.abs(actual[:, :2] / actual[:, 2:]).max() / math.tan(fov / 2)
    assert 0.9 < reach < 1


def test_json_goes_there_and_back():
    camera = random_cameras(3, fov=0.5, seed=4)[2]
    data = json.loads(json.dumps(camera.to_json()))
    assert set(data) == {"origin", "x", "y", "z", "fov", "x_fov", "y_fov"}
    repeated = Camera.from_json(data, "a.json")
    assert np.array_equal(repeated.origin, camera.origin) and repeated.to_json() == data
    shap_e = {key: value for key, value in data.items() if key != "fov"}
    assert Camera.from_json({**shap_e, "max_depth": 5.0, "bbox_min": [0] * 3}, "x").fov == 0.5


@pytest.mark.parametrize(
    ("change", "say"),
    [
        ({"origin": None}, "origin is no list"),
        ({"x": [1, 0]}, "x is no list"),
        ({"x": [1, 0, 1]}, "perpendicular"),
        ({"z": [0, 0, "a"]}, "something else"),
        ({"fov": 0}, "fov is 0"),
        ({"fov": 4}, "fov is 4"),
        ({"fov": math.nan}, "fov is nan"),
        ({"origin": [0, 0, math.inf]}, "origin is"),
        ({"x_fov": 0.7, "y_fov": 0.5}, "only square images"),
        ({"fov": [1, 2]}, "something else"),
    ],
)
def test_wrong_cameras_are_told_in_one_line(change, say):
    with pytest.raises(MeshError, match=rf"cameras/a.json: .*({say})") as caught:
        Camera.from_json({**GOOD, **change}, "cameras/a.json")
    assert "\n" not in str(caught.value)


def test_missing_parts_and_wrong_counts():
    with pytest.raises(MeshError, match="no origin, fov"):
        Camera.from_json({key: GOOD[key] for key in "xyz"}, "a")
    with pytest.raises(MeshError, match="no camera"):
        Camera.from_json([1, 2], "a")
    for count in (0, -1, 10**9):
        with pytest.raises(MeshError, match="views"):
            even_cameras(count)
    with pytest.raises(MeshError, match="stand in the mesh"):
        fitting_fov(Mesh(np.eye(3) * 5, np.array([[0, 1, 2]])))
