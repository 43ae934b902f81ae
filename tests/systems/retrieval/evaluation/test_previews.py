"""Measuring with a catalogue's own images; here our renders play the catalogue."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.systems.retrieval.evaluation import view_embeddings
from triform.systems.retrieval.evaluation.evaluate import evaluate
from triform.systems.retrieval.evaluation.hard_queries import FURTHER_KINDS, HARD_KINDS
from triform.systems.retrieval.gallery.fusion import ROLLS, gallery_views
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import EvaluateConfig

ROWS = ["points", "views", "views and points", "plain baseline", "all"]


@pytest.fixture(scope="module")
def catalogue(workspace: Path, tiny_run: Path):
    """Previews beside the meshes of the tiny preset's data set."""
    shapes = list_shapes(load_dataset(["testdataset:32"], workspace / "datasets"))
    generated = []
    for shape in shapes:
        image = shape.origin.path.with_suffix(".png")
        Image.fromarray(gallery_views(shape.load(appearance=True), 64)[1]).save(image)
        generated.append(image)
    yield shapes
    for image in generated:
        image.unlink()


@pytest.fixture(scope="module")
def report(catalogue, workspace: Path, tiny_run: Path):
    return evaluate(settings(workspace, tiny_run, whole_gallery=True))


def settings(workspace: Path, run: Path, **more):
    where = {"checkpoint": str(run), "download_path": str(workspace / "datasets")}
    return EvaluateConfig(**where, device="cpu", max_samples=16, **more)


def test_every_way_of_comparing_has_a_row(report):
    names = [(row["query"], row["by"]) for row in report["previews"]]
    compared = 2 * len(ROWS)
    assert names[:compared] == [(query, by) for query in ("preview", "mesh") for by in ROWS]
    assert [query for query, _ in names[compared:]] == ["name"] * 3
    assert report["whole_gallery"] == 16
    difference = report["previews_by_split"]
    counts = {row["split"]: row["queries"] for row in difference}
    assert set(counts) == {"val", "test"} and sum(counts.values()) == 3
    assert {row["by"] for row in difference} == set(ROWS)


def test_a_image_that_is_one_of_the_views_is_found(report):
    rows = report["previews"]
    found = {(row["query"], row["by"]): row["recall@1"] for row in rows}
    assert found["preview", "plain baseline"] == found["preview", "all"] == 1
    whole = {row["by"]: row["recall@1"] for row in report["previews_in_whole_gallery"]}
    assert whole["plain baseline"] == whole["all"] == 1


def test_hard_images_and_their_mean(report):
    rows = report["hard_previews"]
    key = "recall@1, made hard by"
    assert [row[key] for row in rows] == [*HARD_KINDS, "mean of these", *FURTHER_KINDS]
    for name in ROWS:
        mean = np.mean([row[name] for row in rows if row[key] in HARD_KINDS])
        assert rows[len(HARD_KINDS)][name] == pytest.approx(mean, abs=1e-3)
    assert next(row for row in rows if row[key] == "grey")["all"] >= 0.5


def test_the_same_numbers_twice(report, catalogue, workspace, tiny_run):
    repeated = evaluate(settings(workspace, tiny_run, hard=False))
    assert repeated["previews"] == report["previews"]
    assert "hard_previews" not in repeated


def test_without_the_baseline(catalogue, workspace, tiny_run):
    found = evaluate(settings(workspace, tiny_run, hard=False, baseline=False))
    assert "plain baseline" not in {row["by"] for row in found["previews"]}


def test_turned_queries_stand_beside_the_image_itself(catalogue, tiny_run):
    retriever = Retriever.from_checkpoint(tiny_run / "checkpoints" / "best.pth", "cpu")
    images = [Image.open(shape.origin.path.with_suffix(".png")) for shape in catalogue[:3]]
    requested = view_embeddings.embed_queries(retriever, images)
    assert requested.learned.shape == (3, 1 + len(ROLLS), retriever.dim)
    np.testing.assert_allclose(np.linalg.norm(requested.joined, axis=-1), 1, atol=1e-5)
    upright = view_embeddings.embed_queries(retriever, [images[0].rotate(20, expand=True)])
    rolled_back = upright.hog[0, 1 + ROLLS.index(-20)]
    assert rolled_back @ requested.hog[0, 0] > 0.9 > upright.hog[0, 0] @ requested.hog[0, 0]
