"""Evaluation of a model whose embeddings are known: every number by hand or by a simple loop."""

from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.linear_model
import torch

from triform.base.errors import UsageError
from triform.datasets.captioned.table import ArrayImages, make_table
from triform.systems.clip import evaluation
from triform.systems.clip.config import EvaluateConfig
from triform.systems.clip.data import group_ids
from triform.tasks.contrastive.matching import chance_scores, matching_scores

# Angles of the embeddings, in degrees, of images (by their red value) and of texts.
IMAGES = {10: 0, 11: 20, 12: 80, 13: 200, 14: 100, 15: 95, 16: 10, 17: 90, 18: 210, 19: 85}
TEXTS = {"an a": 5, "a b": 88, "a c": 205, "tall": 84, "flat": 11, "photo of a": 2}
TEXTS |= {"photo of b": 91, "photo of c": 190, "photo of d": 270}
ROWS = [  # red value, captions, content, split
    (10, ("an a",), "a", "train"),
    (11, ("an a",), "a", "train"),
    (12, ("a b",), "b", "train"),
    (13, ("a c",), "c", "train"),
    (14, ("a b", "tall"), "b", "test"),
    (15, ("an a", "flat"), "a", "test"),
    (16, ("an a",), "a", "test"),
    (18, ("a c",), "c", "test"),
    (17, ("a b", "tall"), "b", "test_other"),
    (19, ("tall",), "b", "test_other"),
    (16, ("flat",), "a", "val"),
]


def directions(degrees) -> np.ndarray:
    angles = np.radians(np.array(degrees, float))
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


class Model:
    """Embeds images by their red value and texts by the table above."""

    name, scale, bias = "known", 4.0, None

    def __init__(self):
        self.batches = []

    def encode_images(self, images):
        self.batches.append(len(images))
        return torch.from_numpy(directions([IMAGES[each.getpixel((0, 0))[0]] for each in images]))

    def encode_texts(self, texts):
        return torch.from_numpy(directions([TEXTS[text] for text in texts]))


def make(rows=tuple(ROWS), contents=True):
    pixels = np.zeros((len(rows), 4, 4, 3), np.uint8)
    for image, (red, *_) in zip(pixels, rows, strict=True):
        image[..., 0] = red
    images = ArrayImages(pixels, [str(number) for number in range(len(rows))])
    splits = {
        split: np.flatnonzero([row[3] == split for row in rows])
        for split in dict.fromkeys(row[3] for row in rows)
    }
    known = [row[2] for row in rows] if contents else []
    return make_table("known set", images, [row[1] for row in rows], splits, contents=known)


TABLE, TEST = make(), np.array([4, 5, 6, 7])


def settings(**changes) -> EvaluateConfig:
    return EvaluateConfig(
        **{"templates": ("photo of {}",), "gallery": 0, "device": "cpu"} | changes
    )


def report(monkeypatch, table=TABLE, model=None, **changes):
    monkeypatch.setattr(evaluation, "load_model", lambda settings: model or Model())
    monkeypatch.setattr(
        evaluation, "choose_rows", lambda model, settings: (table, table.rows("test"), "test")
    )
    return evaluation.evaluate(settings(**changes))


def test_every_number_of_a_report(monkeypatch):
    found = report(monkeypatch)
    # Images at 100 (b), 95 (a), 10 (a), 210 (c); texts a b 88, tall 84, an a 5, flat 11, a c 205.
    angles, texts = [100, 95, 10, 210], [88, 84, 5, 11, 205]
    similarity = directions(angles) @ directions(texts).T
    groups, text_groups = np.array([1, 0, 0, 2]), np.array([1, 1, 0, 0, 2])
    where = (groups[:, None] == text_groups[None], np.arange(4), np.arange(5))
    scores = matching_scores(similarity, *where)
    assert scores["image_to_text_recall@1"] == 0.75  # the image at 95 is nearest to "a b"
    assert scores["text_to_image_recall@1"] == 0.6  # the texts of b find the image at 95
    by = {row.pop("by"): row for row in found.pop("rows")}
    assert list(by) == ["clip", "nearest pixels", "chance"]
    assert by["clip"] == scores and by["chance"] == chance_scores(*where)
    matching = found.pop("matching")
    assert matching["image_to_text_accuracy"] == 0.75 and matching["images"] == 4
    assert matching["text_to_image_accuracy"] == 0.6
    assert matching["interval95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)  # Wilson's
    zero_shot = found.pop("zero_shot")
    assert zero_shot.pop("interval95") == pytest.approx([0.3006, 0.9544], abs=1e-4)
    # Of both images of a one is right; those of b and c are.
    expected = {"classes": 3, "accuracy@1": 0.75, "mean_per_class": 5 / 6, "chance": 1 / 3}
    assert zero_shot == pytest.approx(expected)
    # Flat images have no pixels but their mean: their probe knows the largest class alone.
    assert found.pop("linear_probe") == {
        "training_images": 4,
        "accuracy": 0.75,
        "pixels_accuracy": 0.5,
    }
    assert found == {
        "model": "known",
        "data": "known set",
        "split": "test",
        "queries": 4,
        "gallery": 4,
        "texts": 5,
        "temperature": 0.25,
    }


def test_a_smaller_and_a_larger_gallery(monkeypatch):
    """Queries are of the split; distractors of other test splits, never of val or train."""
    few = report(monkeypatch, gallery=2)
    assert (few["queries"], few["gallery"]) == (2, 2) and few["matching"]["images"] == 4
    larger = report(monkeypatch, gallery=5)
    assert (larger["queries"], larger["gallery"]) == (4, 5)
    assert larger["rows"][0]["image_to_text_recall@1"] == 0.75
    assert report(monkeypatch, gallery=500)["gallery"] == 6
    queries, gallery = evaluation._sample_gallery(TABLE, TEST, "test", settings(gallery=500))
    assert queries.tolist() == gallery[:4].tolist() == [4, 5, 6, 7]
    assert set(gallery[4:].tolist()) == {8, 9}
    drawn = {
        tuple(evaluation._sample_gallery(TABLE, TEST, "test", settings(gallery=2, seed=seed))[0])
        for seed in range(20)
    }
    assert all(first < second for first, second in drawn) and len(drawn) == 6
    one = {
        int(evaluation._sample_gallery(TABLE, TEST, "test", settings(gallery=5, seed=seed))[1][4])
        for seed in range(20)
    }
    assert one == {8, 9}
    rows = TABLE.rows("val")
    alone = evaluation._sample_gallery(make(ROWS[:4] + ROWS[10:]), np.array([4]), "val", settings())
    assert alone[0].tolist() == alone[1].tolist() == [4] and rows.tolist() == [10]


def test_texts_of_a_gallery_that_no_query_is_about(monkeypatch):
    """They are searched, and nobody searches with them."""
    monkeypatch.setattr(evaluation, "matching_scores", lambda similarity, *where: {"where": where})
    monkeypatch.setattr(
        evaluation,
        "_sample_gallery",
        lambda table, rows, split, settings: (rows[:1], np.array([4, 7, 6])),
    )
    relevant, images, texts = report(monkeypatch, baselines=False)["rows"][0]["where"]
    # Texts: a b, tall (of row 4), a c, an a.
    assert [np.flatnonzero(row).tolist() for row in relevant] == [[0, 1], [2], [3]]
    assert images.tolist() == [0] and texts.tolist() == [0, 1]


def test_without_baselines_contents_or_training(monkeypatch):
    assert [row["by"] for row in report(monkeypatch, baselines=False)["rows"]] == ["clip"]
    unknown = report(monkeypatch, make(contents=False))
    assert [row["by"] for row in unknown["rows"]] == ["clip", "chance"]
    assert "zero_shot" not in unknown and "linear_probe" not in unknown
    # Each image is a content of its own: equal texts are different ones then.
    assert unknown["texts"] == 6
    untrained = report(monkeypatch, make(tuple(row for row in ROWS if row[3] != "train")))
    assert [row["by"] for row in untrained["rows"]] == ["clip", "chance"]
    assert "zero_shot" in untrained and "linear_probe" not in untrained


def test_the_baseline_finds_the_nearest_training_image():
    group, encode = group_ids(TABLE), evaluation._encoder(Model())
    text_group = np.array([0, 1, 2])
    found = evaluation._nearest(TABLE, TEST, group, text_group, encode, settings())
    # Training images: a at 0 and 20, b at 80, c at 200 degrees.
    nearest = [[80, 20, 100], [75, 15, 105], [10, 70, 170], [150, 130, 10]]
    np.testing.assert_allclose(found, np.cos(np.radians(nearest)), atol=1e-6)


def test_images_are_embedded_in_batches(monkeypatch):
    model, bars = Model(), []
    monkeypatch.setattr(
        evaluation,
        "progress_bar",
        lambda *words, **options: bars.append((words, options)) or words[0],
    )
    encode = evaluation._encoder(model)
    features = evaluation._embed_images(TABLE, TEST, encode, settings(batch_size=3))
    assert model.batches == [3, 1] and list(features) == [4, 5, 6, 7]
    assert bars == [((range(0, 4, 3),), {"desc": "encoding images", "unit": "batch"})]
    np.testing.assert_array_equal(
        evaluation._rows_of(features, np.array([6, 4])), directions([10, 100])
    )


def test_features_of_another_system_as_a_baseline(monkeypatch):
    """The mean over places, without its own mean, of length 1."""
    places = torch.tensor([[[[1.0, 3.0, 9.0], [3.0, 3.0, 1.0]]]])
    chosen = []

    def choose(checkpoint, device):
        chosen.append((checkpoint, device))
        return SimpleNamespace(encode=lambda images: places)

    module = SimpleNamespace(system=SimpleNamespace(Trained=SimpleNamespace(choose=choose)))
    monkeypatch.setattr(evaluation.systems, "load", {"captioner": module}.__getitem__)
    encoders = evaluation._baseline_encoders(settings(features="captioner"))
    assert list(encoders) == ["nearest pixels", "nearest features of captioner"]
    assert chosen == [(None, "cpu")]
    # Means 2, 3, 5, less 10 / 3.
    expected = np.array([-4.0, -1.0, 5.0]) / np.sqrt(42)
    np.testing.assert_allclose(
        encoders["nearest features of captioner"]([None])[0], expected, rtol=1e-6
    )
    assert list(evaluation._baseline_encoders(settings())) == ["nearest pixels"]


def test_classes_are_contents_that_are_texts():
    names, labels = evaluation._class_labels(TABLE, TEST)
    assert names == ["a", "b", "c"] and labels.tolist() == [1, 0, 0, 2]
    numbered = make(tuple((row[0], row[1], (row[2], 1), row[3]) for row in ROWS))
    assert evaluation._class_labels(numbered, TEST) is None
    assert evaluation._class_labels(make(contents=False), TEST) is None


def test_two_classes_are_the_fewest():
    images = directions([0, 90])
    one, two = (["a"], np.array([0, 0])), (["a", "b"], np.array([0, 0]))
    assert evaluation._zero_shot(Model(), one, images, settings()) == {}
    numbers = evaluation._zero_shot(Model(), two, images, settings())["zero_shot"]
    assert numbers["classes"] == 2 and numbers["accuracy@1"] == 0.5 and numbers["chance"] == 0.5


@pytest.mark.parametrize(
    ("num_classes", "num_images", "expected"),
    [(1, 3, None), (2, 3, 3), (200, 200, 200), (201, 201, None), (2, 5001, 5000)],
)
def test_limits_and_settings_of_the_probe(num_classes, num_images, expected, monkeypatch):
    options, trained = [], []

    class Probe:
        """Always answers the first class."""

        def __init__(self, **settings):
            options.append(settings)

        def fit(self, features, labels):
            trained.append((features, labels))
            return self

        def predict(self, features):
            return np.array(["0"] * len(features))

    monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", Probe)
    rows = [(10, ("x",), str(number % num_classes), "train") for number in range(num_images)]
    table = make((*rows, (11, ("x",), "0", "test"), (11, ("x",), "1", "test")))
    found = evaluation._linear_probe(
        Model(), table, table.rows("test"), directions([0, 0]), settings(batch_size=5001)
    )
    if expected is None:
        assert found == {} and not options
        return
    assert found["linear_probe"] == {
        "training_images": expected,
        "accuracy": 0.5,
        "pixels_accuracy": 0.5,
    }
    assert options == [{"max_iter": 1000, "C": 10}] * 2
    (features, labels), (pixels, _) = trained
    assert features.shape == (expected, 2) and pixels.shape == (expected, 32 * 32 * 3)
    assert len(labels) == expected and set(labels) == set(map(str, range(num_classes)))


def test_the_probe_sees_a_sample_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr(evaluation, "MAX_PROBE_IMAGES", 2)
    seen = []

    class Probe:
        def __init__(self, **settings):
            pass

        def fit(self, features, labels):
            seen.append(tuple(labels))
            return self

        def predict(self, features):
            return np.array(["a"] * len(features))

    monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", Probe)
    for seed in range(12):
        table, images = TABLE, directions([100, 95, 10, 210])
        evaluation._linear_probe(Model(), table, TEST, images, settings(seed=seed))
    assert len(set(seen)) > 3 and all(len(labels) == 2 for labels in seen)


def trained_model(**data):
    """A model with a training of its own."""
    model = evaluation.Trained.__new__(evaluation.Trained)
    config = evaluation.Config()
    model.config = config.model_copy(update={"data": config.data.model_copy(update=data)})
    return model


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"dataset": "digits"}, {"dataset": "digits"}),
        ({"images_dir": "i"}, {"dataset": "csv", "images_dir": "i"}),
        ({"caption_file": "c"}, {"dataset": "csv", "caption_file": "c"}),
        ({"images_dir": "i", "dataset": "csv"}, {"dataset": "csv", "images_dir": "i"}),
        ({"download_path": "d"}, {"download_path": "d"}),
    ],
)
def test_data_of_the_verb_replace_those_of_the_training(changes, expected, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        evaluation, "load_table", lambda data, seed, size: loaded.append((data, seed)) or TABLE
    )
    old = {"dataset": "emoji", "images_dir": "j", "caption_file": "k", "download_path": "datasets"}
    model = trained_model(**old)
    table, rows, split = evaluation.choose_rows(model, EvaluateConfig(**changes))
    ((data, seed),) = loaded
    assert {name: getattr(data, name) for name in old} == {**old, **expected}
    assert seed == model.config.seed and table is TABLE
    assert split == "test" and rows.tolist() == [4, 5, 6, 7]


def test_splits_shards_and_mistakes_of_the_data(monkeypatch):
    without_test = make(tuple(row for row in ROWS if row[3] in ("train", "val")))
    monkeypatch.setattr(evaluation, "load_table", lambda data, seed, size: without_test)
    model = trained_model()
    table, rows, split = evaluation.choose_rows(model, EvaluateConfig())
    assert (table, split) == (without_test, "val") and rows.tolist() == [4]
    assert evaluation.choose_rows(model, EvaluateConfig(split="train"))[2] == "train"
    monkeypatch.setattr(evaluation, "shard_table", lambda *words: words and make())
    monkeypatch.setattr(evaluation, "is_shards", lambda name: name == "{0..3}.tar")
    found, _, split = evaluation.choose_rows(model, EvaluateConfig(dataset="{0..3}.tar"))
    assert found is not without_test and split == "test"
    asked = []
    monkeypatch.setattr(evaluation, "shard_table", lambda *words: asked.append(words) or make())
    evaluation.choose_rows(model, EvaluateConfig(dataset="{0..3}.tar"))
    assert asked == [("{0..3}.tar", "test", model.config.data.image_size)]
    for changes in ({"images_dir": "i"}, {"caption_file": "c"}):
        with pytest.raises(UsageError, match="images_dir and caption_file belong to csv"):
            evaluation.choose_rows(model, EvaluateConfig(dataset="emoji", **changes))
    with pytest.raises(UsageError, match="a pretrained model has no data of its own; name some"):
        evaluation.choose_rows(Model(), EvaluateConfig())
    assert evaluation.choose_rows(Model(), EvaluateConfig(images_dir="i"))[2] == "val"
