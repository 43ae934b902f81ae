"""What a search leaves out, by hand."""

import numpy as np
import pytest

from triform.search.exclusion import MIN_SAMPLE, Exclusion, is_excluded, search_without
from triform.search.gallery import create_gallery

COUNT = 4 * MIN_SAMPLE


def test_deviations_over_the_gallery_decide():
    """By similarities alone all would be left out, or none."""
    sample = np.array([[0.0, 0.5], [0.2, 0.9]], np.float32)
    exclusion = Exclusion(np.array([1.0, 0], np.float32), np.array([[0, 1.0]], np.float32))
    vectors = np.array([[0.2, 0.8], [0.15, 0.9], [0.1, 0.7]], np.float32)
    # Means 0.1 and 0.7, deviations 0.1 and 0.2: (1, 0.5), (0.5, 1) and a tie.
    assert is_excluded(vectors, exclusion, sample).tolist() == [False, True, False]


def test_one_of_several_terms_is_enough():
    sample = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
    axes = np.eye(3, dtype=np.float32)
    vectors = np.array([[0.5, 0.4, 0.4], [0.5, 0.6, 0], [0.5, 0, 0.6]], np.float32)
    found = is_excluded(vectors, Exclusion(axes[0], axes[1:]), sample)
    assert found.tolist() == [False, True, True]


@pytest.fixture
def gallery(place):
    """Vectors of two numbers; every second one shows what is excluded."""
    gallery = create_gallery(place, encoder="toy")
    gallery.add(
        [str(row) for row in range(COUNT)],
        vectors(COUNT),
        [{"odd": row % 2} for row in range(COUNT)],
        encoder="toy",
    )
    yield gallery
    gallery.close()


def vectors(count):
    """The higher the number, the closer to the first axis; odd ones lean to the second one."""
    closeness = np.arange(1, count + 1) / count
    lean = np.where(np.arange(count) % 2, 0.4, 0.0)
    rows = np.stack([closeness, lean, 1.5 - closeness], axis=1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


X, Y, _ = np.eye(3, dtype=np.float32)
EXCLUSION = Exclusion(X, (X + Y)[None] / np.float32(np.sqrt(2)))


def expected(where=lambda row: True):
    rows = vectors(COUNT)
    out = is_excluded(rows, EXCLUSION, rows)
    order = np.argsort(-(rows @ X), kind="stable")
    return [str(row) for row in order if not out[row] and where(row)]


def test_hits_are_those_that_are_not_excluded(gallery):
    hits = search_without(gallery, X, 7, EXCLUSION, encoder="toy")
    assert [hit.id for hit in hits] == expected()[:7]
    assert all(int(hit.id) % 2 == 0 for hit in hits)
    (plain,) = gallery.search(X[None], 7, encoder="toy")
    assert search_without(gallery, X, 7, None, encoder="toy") == plain


def test_more_are_looked_at_until_there_are_enough(gallery):
    every = expected()
    hits = search_without(gallery, X, COUNT, EXCLUSION, encoder="toy")
    assert [hit.id for hit in hits] == every and 0 < len(every) < COUNT
    where = {"odd": 1}
    hits = search_without(gallery, X, 50, EXCLUSION, encoder="toy", where=where)
    assert [hit.id for hit in hits] == expected(lambda row: row % 2)[:50]


def test_a_small_gallery_leaves_nothing_out():
    few = create_gallery(None, encoder="toy")
    rows = vectors(MIN_SAMPLE - 1)
    few.add([str(row) for row in range(len(rows))], rows, [{}] * len(rows), encoder="toy")
    (plain,) = few.search(X[None], 99, encoder="toy")
    assert search_without(few, X, 99, EXCLUSION, encoder="toy") == plain
    assert len(plain) == 99


def test_samples_are_spread_over_the_gallery(gallery):
    assert gallery.sample(0).shape == (0, 3)
    np.testing.assert_allclose(gallery.sample(COUNT + 5), vectors(COUNT), atol=1e-6)
    assert len(gallery.sample(50)) == 50
