"""Evaluation on drawings by a maker that nothing was trained on, and its intervals."""

import numpy as np
import pytest

from triform.datasets.captioned import baselines
from triform.datasets.captioned.baselines import NEAR_COPY, nearest_pictures
from triform.datasets.captioned.table import DrawnPictures, make_table
from triform.systems.captioner.evaluation import _shares


def table_of(images: list[np.ndarray], names: list[str], train: list[int], test: list[int]):
    splits = {"train": np.array(train), "test": np.array(test)}
    pictures = DrawnPictures(np.stack(images), names)
    return make_table(
        "joypixels", pictures, [(name,) for name in names], splits, contents=tuple(names)
    )


@pytest.fixture
def table():
    rows, columns = np.mgrid[:32, :32]
    left = np.repeat((columns < 16)[..., None] * 255, 3, 2).astype(np.uint8)
    top = np.repeat((rows < 16)[..., None] * 255, 3, 2).astype(np.uint8)
    nearly = left.copy()
    nearly[0, :16] = 0  # one row of 32: cosine 0.97
    return table_of(
        [left, top, nearly, top, 255 - left], ["a", "b", "a", "b", "c"], [0, 1], [2, 3, 4]
    )


def test_the_most_similar_picture_and_how_similar(table):
    found, similar = nearest_pictures(table, table.rows("train"), table.rows("test"))
    assert found[:2].tolist() == [0, 1]
    # of the pictures with their means taken away: 15.5 * 16 columns of 32 are bright
    assert similar[0] == pytest.approx(0.9692, abs=1e-3) and similar[0] < NEAR_COPY
    assert similar[1] == pytest.approx(1, abs=1e-6)
    assert similar[2] == pytest.approx(0, abs=1e-6)  # the inverse is orthogonal to "top"
    said = baselines.baseline_captions(table, table.rows("train"), table.rows("test"))
    assert said["nearest neighbour"] == ["a", "b", "b"]


def test_shares_with_wilsons_interval(table):
    found = _shares(table, table.rows("test"), ["a", "a", "c"])
    assert found == {"exact_name": 0.6667, "exact_name_interval": [0.2077, 0.9385]}
