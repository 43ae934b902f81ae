"""Ranks by hand on examples that are not symmetric, so that no number stands for another."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from triform.metrics.retrieval import chance_metrics
from triform.systems.retrieval.data import CaptionEmbeddings
from triform.systems.retrieval.dataset import RetrievalDataset
from triform.systems.retrieval.evaluation import evaluate
from triform.systems.retrieval.evaluation.previews import first_captions
from triform.systems.retrieval.evaluation.recall import (
    both_directions,
    embed_objects,
    text_to,
)
from triform.systems.retrieval.evaluation.view_embeddings import ViewEmbeddings, similarities
from triform.systems.retrieval.gallery import fusion
from triform.systems.retrieval.gallery.fusion import (
    HOG_WEIGHT,
    POINT_WEIGHT,
    ROLL_PENALTY,
    best_roll,
    join,
)
from triform.systems.retrieval.system import System
from triform.systems.retrieval.verb_config import SMALL, EvaluateConfig

from ..conftest import preset
from ..ranks import IMAGES, POINTS, RANKS, Retriever, numbers, rows_of


def test_single_images_means_and_both_ways_are_four_different_things():
    found = both_directions(IMAGES, POINTS, (1, 2))
    assert list(found) == list(RANKS)
    for name, ranks in RANKS.items():
        assert found[name] == pytest.approx(numbers(ranks)), name


def few(captions) -> SimpleNamespace:
    return SimpleNamespace(captions=captions, num_views=2)


def test_rows_of_the_library_stand_under_their_own_names(monkeypatch):
    monkeypatch.setattr(evaluate, "Batches", lambda *_: None)
    monkeypatch.setattr(evaluate, "CaptionEmbeddings", lambda *_: None)
    monkeypatch.setattr(evaluate, "embed_objects", lambda *_: (IMAGES, POINTS))
    config, settings = SimpleNamespace(data=None), EvaluateConfig(k_list_for_recalls=(1, 2))
    objects = few((("a", "other"), ("b",), ()))
    rows = evaluate.evaluate_library(Retriever(), objects, np.arange(3), config, settings)
    found = {(row.pop("query"), row.pop("gallery")): row for row in rows}
    # a finds object 0 and b comes second of three, by clouds; by means of images b is third.
    means = F.normalize(IMAGES.mean(1), dim=-1).numpy()
    requested = Retriever().encode_texts(["a", "b"])
    by_means = [1 + int((row > row[own]).sum()) for own, row in enumerate(requested @ means.T)]
    expected = {
        ("chance", "any"): {"recall@1": 1 / 3, "recall@2": 2 / 3, "mrr": 11 / 18, "median_rank": 2},
        ("one image", "shapes"): numbers(RANKS["img2pc"]),
        ("mean of all images", "shapes"): numbers(RANKS["img2pc_mean"]),
        ("shape", "means of images"): numbers(RANKS["pc2img"]),
        ("shape", "single images"): numbers(RANKS["pc2img_single"]),
        ("name", "shapes"): numbers((1, 2)),
        ("name", "means of images"): numbers(by_means),
    }
    assert list(found) == list(expected) and by_means != [1, 2]
    for key, row in expected.items():
        assert found[key] == pytest.approx(row, abs=1e-4), key


def test_chance_is_that_of_guessing():
    random = np.random.default_rng(0).random((20_000, 7)).argsort(1).argsort(1)[:, 0] + 1
    assert chance_metrics(7, (1, 3)) == pytest.approx(numbers(random.tolist(), (1, 3)), abs=0.02)


def test_a_name_that_several_bear_finds_any_of_them():
    captions = (("x", "b"), ("a",), (), ("x",), ("b",))
    texts, owners = first_captions(few(captions), np.array([0, 3, 4, 2]))
    assert texts == ["x", "b"] and owners == [[0, 1], [2]]
    gallery = torch.eye(3)[[1, 2, 0, 1]]
    # x is like places 2, 1, 0 and finds place 1 first; b is like places 1 (0.5), 0, 3, 2
    found = text_to(torch.from_numpy(Retriever().encode_texts(texts)), owners, gallery, (1, 2))
    assert found == pytest.approx(numbers((1, 4)))


def test_all_objects_are_embedded_in_their_order(monkeypatch):
    from triform.systems.retrieval.evaluation import recall

    monkeypatch.setattr(recall, "IMAGE_BATCH_SIZE", 5)
    monkeypatch.setattr(recall, "POINT_BATCH_SIZE", 3)

    class Numbers:
        dataset = SimpleNamespace(num_views=2)

        def unaugmented_images(self, rows):
            return torch.tensor([[[10.0 * row], [10.0 * row + 1]] for row in rows])

        def unaugmented_points(self, rows):
            return torch.tensor([[float(row)] for row in rows]), torch.ones(len(rows), 1)

    images, points = embed_objects(
        Numbers(),
        np.array([4, 0, 7, 2, 5]),
        lambda x: (x + 0.5, None),
        lambda x, c: x + 100 * c,
        torch.device("cpu"),
    )
    assert images[..., 0].tolist() == [[10 * r + 0.5, 10 * r + 1.5] for r in (4, 0, 7, 2, 5)]
    assert points[:, 0].tolist() == [104, 100, 107, 102, 105]


@pytest.mark.parametrize(
    ("flags", "splits"),
    [
        ({}, {"val", "test"}),
        ({"split": "heldout"}, {"val", "test"}),
        ({"split": "val"}, {"val"}),
        ({"split": "test"}, {"test"}),
        ({"split": "train"}, {"train"}),
        ({"split": "all"}, {"train", "val", "test"}),
    ],
)
def test_the_objects_of_a_split(monkeypatch, flags, splits):
    parts = ("train", "val", "test", "train", "train", "val", "val", "test", "test", "test")
    nothing, actual = np.zeros((10, 1, 3)), []
    objects = RetrievalDataset(("",) * 10, ("",) * 10, parts, ((),) * 10, nothing, nothing, nothing)
    config = SimpleNamespace(
        data=SimpleNamespace(library="somewhere"), model=SimpleNamespace(image_encoder=SMALL)
    )
    monkeypatch.setattr(
        evaluate, "open_retriever", lambda *_: SimpleNamespace(source="", config=config)
    )
    monkeypatch.setattr(evaluate, "evaluation_config", lambda *_: config)
    monkeypatch.setattr(evaluate, "load_dataset", lambda _: (objects, {}))

    def library(retriever, objects, rows, config, settings):
        actual.append([objects.splits[row] for row in rows])
        expected = [name for name in objects.splits if name in splits]
        assert sorted(actual[-1]) == sorted(expected)
        return []

    monkeypatch.setattr(evaluate, "evaluate_library", library)
    monkeypatch.setattr(
        evaluate, "evaluate_previews", lambda r, o, rows, *_: actual.append(list(rows)) or {}
    )
    report = evaluate.evaluate(EvaluateConfig(**flags))
    assert set(actual[0]) == splits and report["objects"] == len(actual[0]) == len(actual[1])


# comparing


def test_a_turned_query_has_to_be_better_by_the_penalty():
    """Of two objects the first is 0.05 nearer to a turned query, the second 0.1."""
    assert ROLL_PENALTY == 0.06
    views = rows_of([[1, 0, 0, 0]], [[0, 1, 0, 0]])
    queries = rows_of([[0.5, 0.5, 0, 0]], [[0.55, 0.6, 0, 0]], [[0.2, 0.58, 0, 0]])
    np.testing.assert_allclose(best_roll(queries, views), [[0.5, 0.54]], atol=1e-6)


def test_every_way_of_comparing_by_its_definition():
    """Two queries as they are and turned once; three objects of two views."""
    random = np.random.default_rng(0)

    def unit(*shape):
        values = random.normal(size=shape).astype(np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    requested, gallery = (
        ViewEmbeddings(unit(2, 2, 3), unit(2, 2, 4)),
        ViewEmbeddings(unit(3, 2, 3), unit(3, 2, 4)),
    )
    points = unit(3, 3)
    measured = fusion.MEASURED_POINT_WEIGHT
    found = similarities(requested, gallery, points)
    expected = {name: np.zeros((2, 3)) for name in found}
    for q in range(2):
        for n in range(3):
            learned = [requested.learned[q, 0] @ view for view in gallery.learned[n]]
            plain = [requested.hog[q, 0] @ view for view in gallery.hog[n]]
            cloud = requested.learned[q, 0] @ points[n]
            turns = [
                (
                    requested.learned[q, t] @ gallery.learned[n, v]
                    + HOG_WEIGHT * (requested.hog[q, t] @ gallery.hog[n, v])
                )
                / (1 + HOG_WEIGHT)
                - ROLL_PENALTY * (t > 0)
                for t in range(2)
                for v in range(2)
            ]
            expected["points"][q, n] = cloud
            expected["views"][q, n] = max(learned)
            expected["views and points"][q, n] = max(learned) + measured * cloud
            expected["plain baseline"][q, n] = max(plain)
            expected["all"][q, n] = max(turns) + POINT_WEIGHT * cloud
    assert list(found) == ["points", "views", "views and points", "plain baseline", "all"]
    for name, similarity in expected.items():
        np.testing.assert_allclose(found[name], similarity, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_joined_vectors_have_the_weighted_mean_of_both_cosines(weight):
    one = join(rows_of([1, 0]), rows_of([0.6, 0.8]), weight)
    other = join(rows_of([0.28, 0.96]), rows_of([1, 0]), weight)
    expected = (0.28 + weight * 0.6) / (1 + weight)
    np.testing.assert_allclose(one @ other.T, [[expected]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one), 1, atol=1e-6)


# in training


@pytest.fixture(scope="module")
def system(folders, library):
    return System(preset("tiny", *folders))


def test_validation_reports_the_four_numbers_their_mean_and_texts(system, monkeypatch):
    from triform.systems.retrieval import system as module

    actual = []

    def embedded(batches, rows, *_):
        actual.append([system.dataset.splits[row] for row in rows])
        return IMAGES, POINTS

    texts = torch.tensor([[0.3, 0.4, 0.5], [0.0, 1, 0]])
    monkeypatch.setattr(module, "embed_objects", embedded)
    monkeypatch.setattr(System, "_embed_captions", lambda self, rows: (texts, [[0], [1, 2]]))
    found = system.evaluate("val")
    ks = system.config.metrics.k_list_for_recalls
    expected = {}
    for name, ranks in RANKS.items():
        expected |= {f"{name}_{key}": value for key, value in numbers(ranks, ks).items()}
    for k in ks:
        both = [expected[f"{name}_recall@{k}"] for name in ("img2pc", "pc2img")]
        expected[f"recall@{k}"] = sum(both) / 2
    mean = F.normalize(IMAGES.mean(1), dim=-1)
    for name, gallery in (("text2pc", POINTS), ("text2img", mean)):
        scores = texts @ gallery.T
        ranks = [
            1 + int((scores[0] > scores[0, 0]).sum()),
            1 + int(scores[1, 0] > scores[1, 1:].max()),
        ]
        expected |= {f"{name}_{key}": value for key, value in numbers(ranks, ks).items()}
    found.pop("loss")
    assert found == pytest.approx(expected, abs=1e-6)
    assert set(actual[0]) == {"val"}


def test_validation_loss_is_that_of_whole_batches(system, monkeypatch):
    """Five objects in batches of two: two batches, the last one left out."""
    config = system.config.model_copy(
        update={"data": system.config.data.model_copy(update={"batch_size": 2})}
    )
    random = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(5, 2, 4, generator=random), dim=-1)
    points = F.normalize(torch.randn(5, 4, generator=random), dim=-1)
    scale, losses = float(system.scale()), []
    for rows in ([0, 1], [2, 3]):
        logits = scale * torch.einsum("id,jvd->ijv", points[rows], images[rows])
        every = logits.exp()
        own = torch.stack([every[i, i].sum() / every[i].sum() for i in range(2)])
        each = torch.stack([every[i, i] / every[:, i].sum(0) for i in range(2)])
        losses.append((-own.log().mean() - each.log().mean()) / 2)
    stub = SimpleNamespace(config=config, scale=system.scale)
    assert config.training.positives == "logsumexp"
    assert System._evaluation_loss(stub, images, points) == pytest.approx(
        float(sum(losses)) / 2, rel=1e-4
    )


def test_every_caption_is_asked_with_and_finds_all_that_bear_it(system):
    rows = system.dataset.rows("val")
    embedded, owners = system._embed_captions(rows)
    texts = sorted({text for row in rows for text in system.dataset.captions[row]})
    assert len(embedded) == len(owners) == len(texts)
    found = [
        sorted(
            {position for position, row in enumerate(rows) if text in system.dataset.captions[row]}
        )
        for text in texts
    ]
    assert sorted(map(sorted, owners)) == sorted(found)
    assert isinstance(system.captions, CaptionEmbeddings)
