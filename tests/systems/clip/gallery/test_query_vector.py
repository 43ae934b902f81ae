"""The vector of a query by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError
from triform.systems.clip.gallery.query import Term
from triform.systems.clip.gallery.query_vector import query_vector, without_directions


class Axes:
    """Texts are names of axes; an image is the fourth axis."""

    image_size = 8

    def encode_texts(self, texts):
        return torch.eye(4)[["xyz".index(text) for text in texts]]

    def encode_images(self, images):
        return torch.eye(4)[[3] * len(images)]


def vector(*terms):
    return query_vector(terms, Axes())


def test_weights_are_shares(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    found = vector(Term("x"), Term("y", 2.0), Term(str(path), 2.0, is_image=True))
    np.testing.assert_allclose(found, np.array([1, 2, 0, 2]) / 3, atol=1e-6)


def test_negative_terms_are_projected_out():
    found = vector(Term("x"), Term("y"), Term("y", is_negative=True), Term("z", is_negative=True))
    np.testing.assert_allclose(found, [1, 0, 0, 0], atol=1e-6)


def test_orthogonal_to_directions_that_are_not_orthogonal_to_each_other():
    random = np.random.default_rng(0)
    query, directions = random.normal(size=8), list(random.normal(size=(3, 8)))
    rest = without_directions(query, directions)
    np.testing.assert_allclose(np.stack(directions) @ rest, 0, atol=1e-5)
    # And nothing else is taken out of it.
    assert np.linalg.matrix_rank(np.stack([*directions, query - rest]), tol=1e-4) == 3
    np.testing.assert_array_equal(without_directions(query, []), query)


def test_nothing_is_left():
    with pytest.raises(UsageError, match="without x nothing is left"):
        vector(Term("x"), Term("x", is_negative=True))
