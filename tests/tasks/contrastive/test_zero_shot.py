"""Classes by sentences: averaged, of length one again; accuracy by hand."""

import pytest
import torch

from triform.base.errors import UsageError
from triform.tasks.contrastive.zero_shot import (
    check_templates,
    class_embeddings,
    zero_shot_scores,
)


class Model:
    """A vector for each sentence."""

    def __init__(self, vectors):
        self.vectors = vectors

    def encode_texts(self, texts):
        return torch.tensor([self.vectors[text] for text in texts])


def test_mean_of_sentences_has_length_one():
    model = Model(
        {"a cat": [1.0, 0.0], "one cat": [0.0, 1.0], "a {x}": [0.0, 1.0], "one {x}": [0.0, 1.0]}
    )
    found = class_embeddings(model, ["cat", "{x}"], ["a {}", "one {}"])
    torch.testing.assert_close(found, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


def test_accuracy_by_hand():
    """Right, second, tied (which counts as wrong), right: per class 1/2, 0 and 1."""
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.4, 0.1, 0.5], [0.3, 0.3, 0.1], [0.1, 0.2, 0.6]])
    scores = zero_shot_scores(similarity, torch.tensor([0, 0, 1, 2]), (1, 2, 5))
    assert scores == {
        "accuracy@1": pytest.approx(1 / 2),
        "accuracy@2": 1.0,
        "mean_per_class": pytest.approx(1 / 2),
    }


def test_templates_need_a_slot():
    check_templates(["a {}", "{}"])
    with pytest.raises(UsageError, match="--templates 'a photo'"):
        check_templates(["{}", "a photo"])
