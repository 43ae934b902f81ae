"""The vector of a query by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError
from triform.systems.clip.gallery.query import Term
from triform.systems.clip.gallery.query_vector import (
    query_exclusion,
    query_vector,
    without_directions,
)


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


class Words:
    """Texts are counts of their words x, y, z, later words with half the weight."""

    image_size = 8

    def encode_texts(self, texts):
        rows = [
            [sum(2.0**-n for n, word in enumerate(text.split()) if word == axis) for axis in "xyz"]
            for text in texts
        ]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def test_texts_that_photos_are_compared_with():
    terms = [Term("x"), Term("y", 3.0), Term("z", is_negative=True), Term("x", is_negative=True)]
    found = query_exclusion(terms, Words())
    np.testing.assert_allclose(found.query, np.array([1, 3, 0]) / 10**0.5, atol=1e-6)
    # "z x y" and "x y z", "x x y" and "x y x".
    first = np.array([0.5, 0.25, 1]) / 1.3125**0.5 + np.array([1, 0.5, 0.25]) / 1.3125**0.5
    second = np.array([1.5, 0.25, 0]) / 2.3125**0.5 + np.array([1.25, 0.5, 0]) / 1.8125**0.5
    np.testing.assert_allclose(found.combined[0], first / np.linalg.norm(first), atol=1e-6)
    np.testing.assert_allclose(found.combined[1], second / np.linalg.norm(second), atol=1e-6)


def test_images_are_not_compared_with_texts():
    image = Term("a.png", is_image=True)
    assert query_exclusion([Term("x"), Term("y")], Words()) is None
    assert query_exclusion([image, Term("y", is_negative=True)], Words()) is None
    excluded_image = Term("a.png", is_image=True, is_negative=True)
    assert query_exclusion([Term("x"), excluded_image], Words()) is None
