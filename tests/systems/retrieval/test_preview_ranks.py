"""Previews that find meshes and meshes that find previews, by ranks worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from triform.systems.retrieval.evaluation import previews
from triform.systems.retrieval.evaluation.hard_queries import FURTHER_KINDS, HARD_KINDS
from triform.systems.retrieval.gallery.fusion import NAME_POINT_WEIGHT
from triform.systems.retrieval.verb_config import EvaluateConfig

from .ranks import IMAGES, POINTS, SINGLE, Retriever, numbers, rows_of

# Rows are previews, columns are meshes: 0, 1, 2 find ranks 1, 2, 1; columns find 1, 3, 1.
BY_VIEWS = rows_of([0.9, 0.85, 0.1], [0.2, 0.3, 0.4], [0.1, 0.5, 0.7])
BY_PLAIN = rows_of([0.1, 0.2, 0.3], [0.05, 0.9, 0.15], [0.9, 0.1, 0.2])


@pytest.fixture
def catalogue(monkeypatch):
    """Four objects, the second without a preview; everything that takes time is left out."""
    names = ["a/0", "a/1", "a/2", "a/3"]
    shapes = {
        name: SimpleNamespace(
            object_id=name, preview=lambda name=name: None if name == "a/1" else name[2:]
        )
        for name in names
    }
    actual: dict = {"galleries": [], "queries": [], "points": []}

    def queries(retriever, images):
        actual["queries"].append(list(images))
        return "asked"

    def gallery(retriever, some):
        actual["galleries"].append([shape.object_id for shape in some])
        return SimpleNamespace(learned=IMAGES.numpy())

    def points(retriever, objects, rows):
        actual["points"].append(list(rows))
        return POINTS.numpy()

    def comparing(asked, gallery, points):
        count = len(actual["galleries"][-1])
        if count == 3:
            return {"views": BY_VIEWS, "plain baseline": BY_PLAIN}
        whole = np.insert(BY_VIEWS, 1, 0.6, axis=1)  # the mesh without a preview
        return {"views": whole, "plain baseline": np.insert(BY_PLAIN, 1, 0.0, axis=1)}

    monkeypatch.setattr(previews, "shapes_of", lambda *_: shapes)
    monkeypatch.setattr(previews, "read_image", lambda data, longest: f"image {data}")
    monkeypatch.setattr(previews, "embed_queries", queries)
    monkeypatch.setattr(previews, "embed_gallery", gallery)
    monkeypatch.setattr(previews, "embed_points", points)
    monkeypatch.setattr(previews, "similarities", comparing)
    actual["objects"] = SimpleNamespace(
        sources=names,
        captions=(("a",), (), ("b",), ()),
        splits=("test",) * 4,
    )
    return actual


def measured(catalogue, retriever=None, **settings):
    config = SimpleNamespace(data=SimpleNamespace(library="somewhere"))
    settings = EvaluateConfig(k_list_for_recalls=(1, 2), hard=False, **settings)
    return previews.evaluate_previews(
        retriever or SimpleNamespace(has_text=False),
        catalogue["objects"],
        np.arange(4),
        config,
        settings,
    )


def holds(row: dict, expected: dict) -> bool:
    """Whether a row has these numbers, to the four digits that are reported."""
    return {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-4)


def by(rows, *keys) -> dict:
    return {tuple(row.pop(key) for key in keys): row for row in rows}


def test_a_preview_finds_its_mesh_and_a_mesh_its_preview(catalogue):
    report = measured(catalogue)
    expected = {
        ("preview", "views"): (1, 2, 1),
        ("preview", "plain baseline"): (3, 1, 2),
        ("mesh", "views"): (1, 3, 1),
        ("mesh", "plain baseline"): (2, 1, 2),
    }
    found = by(report["previews"], "query", "by")
    assert list(found) == list(expected) and report["previewed_objects"] == 3
    for key, ranks in expected.items():
        assert holds(found[key], numbers(ranks)), key
    assert catalogue["galleries"] == [["a/0", "a/2", "a/3"]]
    assert catalogue["queries"] == [["image 0", "image 2", "image 3"]]
    assert catalogue["points"] == [[0, 2, 3]]


def test_in_the_whole_gallery_a_preview_finds_its_own_mesh(catalogue):
    report = measured(catalogue, whole_gallery=True)
    assert report["whole_gallery"] == 4 and catalogue["galleries"][1] == [
        "a/0",
        "a/1",
        "a/2",
        "a/3",
    ]
    found = by(report["previews_in_whole_gallery"], "by")
    assert found[("views",)].pop("query") == "preview"
    assert holds(found[("views",)], numbers((1, 3, 1)))
    assert holds(found[("plain baseline",)], numbers((3, 1, 2)))
    without = measured(catalogue, whole_gallery=True, baseline=False)
    assert list(by(without["previews_in_whole_gallery"], "by")) == [("views",)]
    assert list(by(without["previews"], "query", "by")) == [("preview", "views"), ("mesh", "views")]


def test_names_by_points_by_the_mean_view_and_by_both(catalogue):
    """a is of the first of the three, b of the second."""
    report = measured(catalogue, Retriever())
    found = by(report["previews"], "query", "by")
    requested = Retriever().encode_texts(["a", "b"]).astype(float)
    mean = np.array(SINGLE).mean(1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    both = requested @ mean.T + NAME_POINT_WEIGHT * requested
    for name, similarity in (
        ("points", requested),
        ("mean view", requested @ mean.T),
        ("mean view and points", both),
    ):
        ranks = [1 + int((row > row[own]).sum()) for own, row in enumerate(similarity)]
        assert holds(found["name", name], numbers(ranks)), name


def test_hard_previews_are_counted_each_and_in_the_mean(monkeypatch):
    kinds, requested = [*HARD_KINDS, *FURTHER_KINDS], []
    monkeypatch.setattr(previews, "frame", lambda image, size: (image, size))

    def corrupt(image, kind, random):
        requested.append((*image, kind, int(random.integers(1000))))
        return np.full((1, 1, 3), kinds.index(kind), np.uint8)

    monkeypatch.setattr(previews, "corrupt", corrupt)
    monkeypatch.setattr(previews, "embed_queries", lambda _, hard: int(np.array(hard[0])[0, 0, 0]))

    def comparing(number, gallery, points):
        """So many of eight right answers as the kind's number says."""
        right = np.arange(8) < number
        return {"views": np.where(right[:, None], np.eye(8), 1 - np.eye(8)).astype(np.float32)}

    monkeypatch.setattr(previews, "similarities", comparing)
    settings = EvaluateConfig(seed=3)
    rows = by(
        previews.evaluate_hard(None, list("abcdefgh"), None, None, settings),
        "recall@1, made hard by",
    )
    expected = {(kind,): {"views": number / 8} for number, kind in enumerate(kinds)}
    mean = sum(range(len(HARD_KINDS))) / len(HARD_KINDS) / 8
    assert rows == {**expected, ("mean of these",): {"views": round(mean, 4)}}
    random = np.random.default_rng(3)
    drawn = [int(random.integers(1000)) for _ in range(8)]
    assert requested == [
        (letter, 128, kind, value)
        for kind in kinds
        for letter, value in zip("abcdefgh", drawn, strict=True)
    ]
