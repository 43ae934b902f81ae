"""Captioning baselines: the nearest training image."""

import numpy as np
import pytest

from triform.datasets.captioned.table import ArrayImages, make_table
from triform.tasks.captioning.baselines import NEAR_COPY, baseline_captions, nearest_images
from triform.tasks.captioning.content_accuracy import content_scores


def table_of(images: list[np.ndarray], names: list[str], train: list[int], test: list[int]):
    splits = {"train": np.array(train), "test": np.array(test)}
    images = ArrayImages(np.stack(images), names)
    return make_table(
        "joypixels", images, [(name,) for name in names], splits, contents=tuple(names)
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


def test_the_nearest_image_and_its_similarity(table):
    nearest, similarity = nearest_images(table, table.rows("train"), table.rows("test"))
    assert nearest[:2].tolist() == [0, 1]
    # of centred images: 15.5 * 16 columns of 32 are bright
    assert similarity[0] == pytest.approx(0.9692, abs=1e-3) and similarity[0] < NEAR_COPY
    assert similarity[1] == pytest.approx(1, abs=1e-6)
    assert similarity[2] == pytest.approx(0, abs=1e-6)  # the inverse is orthogonal to "top"
    captions = baseline_captions(table, table.rows("train"), table.rows("test"))
    assert captions["nearest neighbour"] == ["a", "b", "b"]


def test_shares_have_wilsons_interval(table):
    scores = content_scores(table, table.rows("test"), ["a", "a", "c"])
    assert scores == {"exact_name": 0.6667, "exact_name_interval": [0.2077, 0.9385]}
