"""Recall in both directions and the baselines, by hand."""

import numpy as np
import pytest

from triform.tasks.contrastive.matching import (
    chance_scores,
    matching_scores,
    nearest_similarity,
    pixel_features,
)


def test_recall_by_hand():
    """Three images, four texts; image 0 has two of them, of which the second is nearest."""
    similarity = np.array([[0.1, 0.9, 0.2, 0.3], [0.5, 0.6, 0.4, 0.1], [0.2, 0.3, 0.4, 0.8]])
    relevant = np.array(
        [[True, True, False, False], [False, False, True, False], [False, False, False, True]]
    )
    everything = np.arange(3), np.arange(4)
    scores = matching_scores(similarity, relevant, *everything)
    # Ranks of images: 1, 3, 1; of texts: 3, 1, 1, 1 (text 2: images 1 and 2 tie).
    assert scores["image_to_text_recall@1"] == pytest.approx(2 / 3)
    assert scores["image_to_text_recall@5"] == 1 and scores["image_to_text_median_rank"] == 1
    assert scores["text_to_image_recall@1"] == pytest.approx(2 / 4)
    low, high = scores["image_to_text_recall@1_interval95"]
    assert 0 < low < 2 / 3 < high < 1
    only = matching_scores(similarity, relevant, np.array([1]), np.array([1]))
    assert only["image_to_text_recall@1"] == 0 and only["text_to_image_recall@1"] == 1


def test_chance_equals_the_mean_of_random_orders():
    relevant = np.zeros((6, 8), bool)
    relevant[np.arange(6), np.arange(6)] = True
    relevant[0, 6:] = relevant[0, 1] = True
    queries = np.arange(6), np.arange(8)
    expected = chance_scores(relevant, *queries)
    random = np.random.default_rng(0)
    drawn = [
        matching_scores(random.random((6, 8)), relevant, *queries)["image_to_text_recall@5"]
        for _ in range(400)
    ]
    assert expected["image_to_text_recall@5"] == pytest.approx(np.mean(drawn), abs=0.03)
    assert expected["image_to_text_recall@1"] == pytest.approx((4 + 5) / (6 * 8))


def test_nearest_training_image_of_each_content():
    queries = np.eye(3, dtype=np.float32)
    train = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]], np.float32)
    found = nearest_similarity(queries, train, np.array([5, 2, 2]), np.array([2, 5, 9]))
    expected = [[0.6, 1, -1], [1, 0, -1], [0.8, 0, -1]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pixels_do_not_depend_on_brightness_and_size():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 100
    small, bright = image[::2, ::2], image + 50
    features = pixel_features([image, small, bright, np.full_like(image, 7)])
    assert features[0] @ features[1] == pytest.approx(1, abs=1e-2)
    assert features[0] @ features[2] == pytest.approx(1, abs=1e-5)
    assert np.abs(features[3]).max() == 0
