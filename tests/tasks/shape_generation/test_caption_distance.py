"""Which prompts are far from the training captions."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest

from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.trained import Trained
from triform.tasks.shape_generation.caption_distance import (
    ENCODER,
    MAX_CAPTIONS,
    MAX_DISTANCE,
    nearest_captions,
    training_captions,
)

FLAT = SimpleNamespace(name=ENCODER, dim=2)
"""An encoder of two numbers."""


def test_the_distance_is_that_to_the_nearest_caption() -> None:
    """By hand: 3-4-5 triangles."""
    int8 = np.array([[127, 0], [0, 64]], np.int8)
    captions = {"texts": ["right", "up"], "embeddings": base64.b64encode(int8.tobytes()).decode()}
    embeddings = np.array([[1, 0], [0.6, 0.8], [-1, 0]], np.float32)
    distances, nearest = nearest_captions(embeddings, captions)
    np.testing.assert_allclose(distances, [0, 0.2, 1], atol=1e-6)
    assert nearest == ["right", "up", "up"]
    with pytest.raises(ValueError, match="reshape"):
        nearest_captions(np.ones((1, 3), np.float32), captions)


def test_those_are_selected_that_are_far_from_each_other() -> None:
    texts = ["right", "", "nearly right", "up", "left"]
    embeddings = np.array([[1, 0, 0], [0, 0, 0], [0.96, 0.28, 0], [0, 1, 0], [-1, 0, 0]])
    captions = training_captions(FLAT, texts, embeddings, max_captions=3)
    assert {"up", "left"} < set(captions["texts"]) <= set(texts) - {""}
    assert len(captions["texts"]) == 3 and json.loads(json.dumps(captions)) == captions
    every = training_captions(FLAT, texts, embeddings)
    assert sorted(every["texts"]) == sorted(filter(None, texts))
    kept = embeddings[[texts.index(text) for text in every["texts"]], :2].astype(np.float32)
    assert nearest_captions(kept, every)[0].max() < 1e-4  # eight bits


def test_other_encoders_and_shapes_without_captions_have_no_distances() -> None:
    other = SimpleNamespace(name="clip", dim=2)
    assert training_captions(other, ["right"], np.array([[1.0, 0]])) == {}
    assert training_captions(FLAT, [""], np.zeros((1, 2))) == {}


def test_the_shipped_weights_know_furniture_in_english() -> None:
    captions = Trained.choose(None, "cpu").metadata["captions"]
    assert len(captions["texts"]) == MAX_CAPTIONS and len(json.dumps(captions)) < 1_000_000
    known = ["a chair", "3d model of modern chair", "a round table with four legs", "corner sofa"]
    unknown = ["красивый закат над океаном", "xqzt bvkw", "diffusion of gases", "a grinning face"]
    embeddings = load_text_encoder(ENCODER).encode([*known, *unknown])
    distances, nearest = nearest_captions(embeddings, captions)
    assert (distances > MAX_DISTANCE).tolist() == [False] * 4 + [True] * 4
    assert "chair" in nearest[0] and "sofa" in nearest[3]
