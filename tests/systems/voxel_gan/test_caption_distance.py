"""Which prompts the shipped weights cannot know."""

import numpy as np

from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.caption_distance import (
    centroid_distances,
    shipped_centroids,
    unknown_prompts,
)


def test_the_distance_is_that_to_the_nearest_centroid() -> None:
    """By hand: 3-4-5 triangles."""
    centroids = np.array([[127, 0], [0, 64]], np.int8)
    embeddings = np.array([[1, 0], [0.6, 0.8], [-1, 0]], np.float32)
    distances = centroid_distances(embeddings, centroids)
    np.testing.assert_allclose(distances, [0, 0.2, 1], atol=1e-6)
    assert shipped_centroids().dtype == np.int8 and shipped_centroids().shape[1] == 384


def test_prompts_in_other_languages_and_of_other_things_are_unknown() -> None:
    encoder = load_text_encoder("minilm")
    known = ["a chair", "3d model of modern chair", "a round table with four legs", "corner sofa"]
    unknown = ["красивый закат над океаном", "xqzt bvkw", "diffusion of gases", "a grinning cat"]
    assert unknown_prompts(encoder, [*known, *unknown]) == unknown
    encoder.name = "another"
    assert unknown_prompts(encoder, unknown) == []
