"""The report of `evaluate`, with captions and scores that are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from triform.base.errors import UsageError
from triform.datasets.captioned.table import ArrayImages, make_table
from triform.systems.captioner import evaluation
from triform.systems.captioner.config import VERBS, Config

EvaluateConfig = VERBS["evaluate"]
SPLITS = {"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([3, 4, 5])}


def make(splits=SPLITS, contents=True):
    images = ArrayImages(
        np.arange(6, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8),
        [f"{number}.png" for number in range(6)],
    )
    captions = [(f"caption {number}", "é") for number in range(6)]
    known = [f"content {number}" for number in range(6)] if contents else ()
    return make_table("known set", images, captions, splits, contents=known)


class Trained:
    """Captions an image by its brightness."""

    config, source = Config(), "a.pth"

    def __init__(self):
        self.batches = []

    def caption(self, images, settings):
        self.batches.append(len(images))
        return [int(image[0, 0, 0]) for image in images]

    def text(self, hypothesis):
        return f"text {hypothesis}"


@pytest.fixture
def known(monkeypatch):
    """What is not under test, with what it was given."""
    calls = SimpleNamespace(trained=Trained(), table=make(), similarity=[0.1, 0.999999, 0.5])
    calls.scored = []

    def baseline_captions(table, train, rows):
        assert train.tolist() == [0, 1]
        return {"majority": [f"most {row}" for row in rows]}

    def nearest_images(table, train, rows):
        assert train.tolist() == [0, 1]
        return train[:1].repeat(len(rows)), np.array(calls.similarity[: len(rows)])

    def caption_scores(table, rows, texts):
        return {"bleu4": float(len(rows))}, f"signature {texts[0]}"

    def content_scores(table, rows, texts):
        calls.scored.append((rows.tolist(), list(texts)))
        return {"content": float(rows.sum())}

    monkeypatch.setattr(evaluation, "load_trained", lambda settings: calls.trained)
    monkeypatch.setattr(evaluation, "load_table", lambda data, seed: calls.table)
    monkeypatch.setattr(evaluation, "baseline_captions", baseline_captions)
    monkeypatch.setattr(evaluation, "nearest_images", nearest_images)
    monkeypatch.setattr(evaluation, "caption_scores", caption_scores)
    monkeypatch.setattr(evaluation, "content_scores", content_scores)
    return calls


def test_a_report_with_a_near_copy(known, tmp_path):
    """Of the rows 3, 4, 5 the second is a copy: 3 and 5 are scored without it."""
    output = tmp_path / "new" / "captions.jsonl"
    report = evaluation.evaluate(EvaluateConfig(batch_size=2, output=output, decoding="greedy"))
    assert report == {
        "checkpoint": "a.pth",
        "data": "known set",
        "split": "test",
        "images": 3,
        "decoding": "greedy",
        "signature": "signature most 3",
        "near_copies": 1,
        "rows": [
            {"by": "captioner", "bleu4": 3.0, "content_without_copies": 8.0},
            {"by": "majority", "bleu4": 3.0, "content_without_copies": 8.0},
        ],
    }
    assert known.trained.batches == [2, 1]
    assert known.scored == [([3, 5], ["text 3", "text 5"]), ([3, 5], ["most 3", "most 5"])]
    lines = output.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "image": f"{row}.png",
            "caption": f"text {row}",
            "references": [f"caption {row}", "é"],
        }
        for row in (3, 4, 5)
    ]
    assert "é" in lines[0]


@pytest.mark.parametrize("similarity", [[0.1, 0.2, 0.3], [1.0, 1.0, 1.0]])
def test_all_new_or_all_copies_are_scored_once(known, similarity):
    known.similarity = similarity
    report = evaluation.evaluate(EvaluateConfig())
    assert report["near_copies"] == (3 if similarity[0] == 1 else 0) and not known.scored
    assert [set(row) for row in report["rows"]] == [{"by", "bleu4"}] * 2


def test_an_image_at_the_limit_is_a_copy(known):
    known.similarity = [evaluation.NEAR_COPY, evaluation.NEAR_COPY - 1e-9, 0.0]
    assert evaluation.evaluate(EvaluateConfig())["near_copies"] == 1


def test_what_is_left_out(known):
    """Baselines on request and for training images, contents that nobody knows."""
    report = evaluation.evaluate(EvaluateConfig(baselines=False))
    assert [row["by"] for row in report["rows"]] == ["captioner"] and "near_copies" not in report
    train = evaluation.evaluate(EvaluateConfig(split="".join(["tr", "ain"])))
    assert [row["by"] for row in train["rows"]] == ["captioner"] and train["images"] == 2
    known.table = make(contents=False)
    unknown = evaluation.evaluate(EvaluateConfig())
    assert len(unknown["rows"]) == 2 and not known.scored
    known.table = make({"train": SPLITS["train"], "val": SPLITS["val"]})
    assert evaluation.evaluate(EvaluateConfig())["split"] == "val"
    known.table = make({**SPLITS, "test": np.array([], int)})
    assert evaluation.evaluate(EvaluateConfig())["split"] == "val"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"dataset": "digits"}, {"dataset": "digits"}),
        ({"images_dir": "i"}, {"dataset": "csv", "images_dir": "i"}),
        ({"caption_file": "c"}, {"dataset": "csv", "caption_file": "c"}),
        ({"caption_file": "c", "dataset": "csv"}, {"dataset": "csv", "caption_file": "c"}),
        ({"download_path": "d"}, {"download_path": "d"}),
    ],
)
def test_data_of_the_verb_replace_those_of_the_training(changes, expected):
    old = {"dataset": "emoji", "images_dir": "j", "caption_file": "k", "download_path": "datasets"}
    data = Config().data.model_copy(update=old)
    found = evaluation._data_config(data, EvaluateConfig(**changes))
    assert {name: getattr(found, name) for name in old} == {**old, **expected}
    assert found.batch_size == data.batch_size


@pytest.mark.parametrize("changes", [{"images_dir": "i"}, {"caption_file": "c"}])
def test_files_belong_to_csv_alone(changes):
    with pytest.raises(UsageError, match="--dataset: images_dir and caption_file belong to csv"):
        evaluation._data_config(Config().data, EvaluateConfig(dataset="emoji", **changes))
