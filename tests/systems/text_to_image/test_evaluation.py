"""Figures of `evaluate` by hand: agreement, lookup of captions, diversity, backgrounds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triform.datasets.captioned.table import ArrayImages, make_table
from triform.metrics.intervals import share_interval
from triform.systems.text_to_image import evaluation
from triform.systems.text_to_image.classifier import image_labels
from triform.systems.text_to_image.config import EvaluateConfig
from triform.systems.text_to_image.data import CaptionedImages


class Encoder:
    """Texts as the directions of their first letters."""

    name, dim, fingerprint = "letters", 3, "letters of the test"

    def encode(self, texts):
        return np.array([np.eye(3)["abc".index(text[0])] for text in texts], np.float32)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Six grey images of three contents; the last two are for the test."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))
    greys = [0, 50, 100, 150, 200, 250]
    images = np.stack([np.full((16, 16, 3), grey, np.uint8) for grey in greys])
    captions = [["a dog"], ["b cat"], ["b kitten", "c owl"], ["c bird"], ["a hound"], ["b cat"]]
    splits = {"train": np.arange(4), "test": np.array([4, 5])}
    contents = ["dog", "cat", "cat", "bird", "dog", "cat"]
    names = [str(grey) for grey in greys]
    table = make_table("greys", ArrayImages(images, names), captions, splits, contents=contents)
    return CaptionedImages(table, 16, Encoder())


def test_the_nearest_caption_is_looked_up_in_the_training_alone(data):
    text = data.embeddings(["a hound", "b cat", "c owl"])
    # "b cat" is nearest to rows 1 and 2, of which the first counts; "c owl" is no first caption.
    assert evaluation._nearest_captions(data, [0, 1, 2, 3], text) == [0, 1, 3]
    assert evaluation._nearest_captions(data, [3, 0], text[:1]) == [0]


def use_classifier(monkeypatch, predict):
    """Put a classifier that knows all labels in the place of a trained one."""
    classifier = SimpleNamespace(knows=lambda labels: True, predict=predict)
    monkeypatch.setattr(evaluation, "TrainedClassifier", lambda *_: classifier)
    monkeypatch.setattr(evaluation, "find_checkpoint", lambda *_, **__: "classifier.pth")


def test_agreement_counts_the_labels_of_the_prompts(monkeypatch):
    predictions = {1: ["dog", "cat", "cat", "owl"], 2: ["dog", "cat", "cat", "cat"]}

    use_classifier(
        monkeypatch,
        lambda images: [(name,) for name in predictions[int(images[0, 0, 0, 0])]],
    )
    images = {
        "": torch.full((4, 3, 2, 2), 1, dtype=torch.uint8),
        "real": torch.full((4, 3, 2, 2), 2, dtype=torch.uint8),
    }
    labels = [("dog",), ("cat",), ("dog",), ("cat",)]
    report = evaluation._agreement(EvaluateConfig(classifier="x"), images, labels)
    assert report == {
        "agreement": 0.5,
        "agreement_interval95": list(share_interval(2, 4)),
        "agreement_real": 0.75,
        "agreement_real_interval95": list(share_interval(3, 4)),
    }


def test_diversity_is_a_share_of_that_of_real_images(data, monkeypatch):
    """Features are greys: real dogs are 200 apart, cats 50, 200 and 150; generated ones 30."""
    monkeypatch.setattr(
        evaluation, "image_features", lambda images: images[:, 0, 0, 0][:, None].float()
    )

    class Model:
        device = torch.device("cpu")

        def generate(self, text, settings):
            greys = torch.tensor([10, 40] * (len(text) // 2), dtype=torch.uint8)
            images = greys[:, None, None, None].expand(-1, 3, 16, 16)
            return images, images

    settings = EvaluateConfig(images_per_prompt=2)
    mean_real = (200 + (50 + 200 + 150) / 3) / 2
    diversity = evaluation._diversity(Model(), data, [4, 5], settings)
    assert diversity == pytest.approx(30 / mean_real)
    assert evaluation._diversity(Model(), data, [3], settings) is None  # one bird alone


def test_prompts_are_rows_of_the_split_and_few_are_refused(data):
    train = evaluation._prompt_rows(data, "train", 100)
    assert sorted(train) == [0, 1, 2, 3]
    assert evaluation._prompt_rows(data, "train", 2) == train[:2]
    with pytest.raises(evaluation.UserError, match="2 images are too few, need 4"):
        evaluation._prompt_rows(data, "test", 100)


def test_kernel_distances_are_to_the_real_images(monkeypatch):
    """Of the final, the decoded and training images, in this order."""
    asked = []

    def distance(first, second):
        asked.append((float(first.mean()), float(second.mean())))
        return float(first.mean() - second.mean()), 0.5

    monkeypatch.setattr(evaluation, "image_features", lambda images: images.float())
    monkeypatch.setattr(evaluation, "kernel_distance", distance)
    images = {"": torch.full((2, 1), 9.0), "base": torch.full((2, 1), 7.0)}
    images["real"] = torch.full((2, 1), 4.0)
    report = evaluation._kernel_distances(images, torch.full((5, 1), 5.0))
    assert asked == [(9, 4), (7, 4), (5, 4)]
    assert report["kernel_distance"] == 5 and report["kernel_distance_base"] == 3
    assert report["kernel_distance_floor"] == 1
    assert report["kernel_distance_interval95"] == pytest.approx(0.98, abs=1e-3)


def test_straight_alpha_becomes_white():
    half_red = torch.tensor([200, 0, 0, 127], dtype=torch.uint8).view(1, 4, 1, 1)
    # 200 * 127 / 255 + 128 = 227.6; 128 without red.
    assert evaluation._on_white(half_red).flatten().tolist() == [228, 128, 128]


def test_labels_are_contents_or_first_captions(data):
    assert image_labels(data.table)[:2] == (("dog",), ("cat",))
    captions = (("a red dog", "dog"), ("a cat",))
    table = SimpleNamespace(contents=(), attributes=(), captions=captions)
    assert image_labels(table) == (("a red dog",), ("a cat",))
    contents = (("red", "dog"), ("black", "cat"))
    table = SimpleNamespace(contents=contents, attributes=("color", "animal"), captions=captions)
    assert image_labels(table) == contents


def test_all_attributes_must_be_right(monkeypatch):
    predictions = [("red", "dog"), ("red", "cat"), ("blue", "dog"), ("blue", "dog")]
    use_classifier(monkeypatch, lambda _: predictions)
    images = {"": torch.zeros(4, 3, 2, 2, dtype=torch.uint8)}
    labels = [("red", "dog"), ("blue", "cat"), ("red", "cat"), ("red", "dog")]
    report = evaluation._agreement(
        EvaluateConfig(classifier="x"), images, labels, ("color", "animal")
    )
    assert report["agreement"] == report["agreement_color"] == 0.25
    assert report["agreement_animal"] == 0.75
    assert report["agreement_by_color"] == {
        "blue": {"agreement": 0, "prompts": 1},
        "red": {"agreement": 1 / 3, "prompts": 3},
    }


def test_a_classifier_of_other_things_is_refused(monkeypatch):
    known = {("cat",), ("dog",)}
    classifier = SimpleNamespace(knows=known.__contains__)
    monkeypatch.setattr(evaluation, "TrainedClassifier", lambda *_: classifier)
    monkeypatch.setattr(evaluation, "find_checkpoint", lambda *_, **__: "classifier.pth")
    message = (
        "--classifier classifier.pth: was not trained on 'ape' and 2 other things that prompts "
        "name; train it on the same --dataset"
    )
    with pytest.raises(evaluation.UserError) as refused:
        evaluation._agreement(
            EvaluateConfig(classifier="x"),
            {},
            [(name,) for name in ("owl", "ape", "cat", "bee", "ape")],
        )
    assert str(refused.value) == message
