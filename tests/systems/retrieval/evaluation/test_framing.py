"""Hard queries, the plain baseline and the fusion of scores."""

import numpy as np
import pytest

from triform.geometry.mesh import Mesh
from triform.images.framing import frame, on_white
from triform.systems.retrieval.evaluation.hard_queries import FURTHER_KINDS, HARD_KINDS, corrupt
from triform.systems.retrieval.evaluation.hog_baseline import hog_descriptors
from triform.systems.retrieval.gallery.fusion import best_view, fuse, gallery_cameras, gallery_views


def box(size=60, top=10, left=5, height=20, width=40, color=(200, 30, 30)):
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[top : top + height, left : left + width] = (*color, 255)
    return rgba


def mesh():
    """A tall box with a red front."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 3) for z in (0, 2)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))])
    colors = np.full((12, 3), 180, np.uint8)
    colors[-2:] = (220, 20, 20)
    return Mesh(corners, faces, colors)


@pytest.mark.parametrize("kind", [*HARD_KINDS, *FURTHER_KINDS])
def test_hard_queries_are_seeded_opaque_and_another_image(kind):
    first = corrupt(box(), kind, np.random.default_rng(5))
    assert first.ndim == 3 and first.shape[2] == 3 and first.dtype == np.uint8
    assert np.array_equal(first, corrupt(box(), kind, np.random.default_rng(5)))
    assert not np.array_equal(first, on_white(box()))


def test_hard_queries_do_what_they_are_called():
    rng = np.random.default_rng(0)
    assert corrupt(box(), "crop", rng).shape[:2] == (17, 33)
    assert corrupt(box(), "side", rng).shape[:2] in [(20, 28), (14, 40)]
    grey = corrupt(box(), "grey", rng)
    assert (grey == grey[..., :1]).all()
    assert max(corrupt(box(), "roll", rng).shape) > 75
    inside = box()[..., 3] == 255
    background = corrupt(box(), "background", rng)
    assert (background[inside] == (200, 30, 30)).all() and not (background[~inside] == 255).all()


def test_plain_baseline_finds_the_view():
    views = np.stack([frame(box(height=h, width=w), 64) for h, w in ((20, 40), (40, 20), (30, 30))])
    described = hog_descriptors(views)
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-5)
    assert (described @ described.T).argmax(1).tolist() == [0, 1, 2]


def test_gallery_views_show_the_front_first():
    views = gallery_views(mesh(), 32)
    assert views.shape == (36, 32, 32, 4) and len(gallery_cameras(0.7)) == 36
    assert np.array_equal(views, gallery_views(mesh(), 32))
    actual = views[0][views[0][..., 3] > 250]
    assert (actual[:, 0] > 1.5 * actual[:, 1]).mean() > 0.5
    assert all((view[..., 3] > 0).any(1).sum() > 28 for view in views)  # it is tall


def test_best_view_and_fusion_by_hand():
    queries = np.eye(2, 3, dtype=np.float32)
    views = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0.6, 0.8]]], np.float32)
    points = np.array([[0, 0, 1], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(best_view(queries, views), [[1, 0], [1, 0.6]])
    np.testing.assert_allclose(fuse(queries, views, points, 0.5), [[1, 0.5], [1, 0.6]])
