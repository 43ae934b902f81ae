"""Rows of the report by splits, with intervals and the test against the baseline, by hand."""

import numpy as np

from triform.systems.retrieval.evaluation.previews import metric_rows
from triform.systems.retrieval.evaluation.view_embeddings import ViewEmbeddings, similarities
from triform.systems.retrieval.gallery import fusion

SPLITS = np.array(["val", "test", "val", "val"])
BY = {
    "views": np.array([1, 1, 1, 2]),
    "plain baseline": np.array([2, 1, 3, 1]),
}


def test_all_queries_and_each_split_apart():
    rows = metric_rows("preview", BY, SPLITS, (1, 3))
    assert [(row["by"], row.get("split", ""), row.get("queries", 0)) for row in rows] == [
        ("views", "", 0),
        ("plain baseline", "", 0),
        ("views", "val", 3),
        ("plain baseline", "val", 3),
        ("views", "test", 1),
        ("plain baseline", "test", 1),
    ]
    views, plain, val, plain_val, test, _ = rows
    assert views["query"] == "preview"
    assert (views["recall@1"], views["recall@3"], views["median_rank"]) == (0.75, 1, 1)
    assert (plain["recall@1"], plain["recall@3"], val["recall@1"]) == (0.5, 1, 0.6667)
    assert plain_val["recall@1"] == 0.3333 and test["recall@1"] == 1
    # Wilson's interval of 3 of 4
    assert views["recall@1_interval"] == [0.3006, 0.9544]


def test_mcnemar_against_the_baseline():
    rows = metric_rows("mesh", BY, SPLITS, (1, 3))
    # two are right by the views alone, one by the baseline alone: 2 * (1 + 3) / 2**3 = 1
    assert (rows[0]["alone_right"], rows[0]["baseline_alone_right"], rows[0]["mcnemar_p"]) == (
        2,
        1,
        1.0,
    )
    assert "mcnemar_p" not in rows[1]
    six = {"views": np.ones(6), "plain baseline": np.full(6, 2)}
    assert metric_rows("mesh", six, np.full(6, "val"), (1,))[0]["mcnemar_p"] == 0.0312  # 2 / 2**6


def test_one_split_alone_needs_no_rows_apart():
    rows = metric_rows("preview", BY, np.full(4, "test"), (1,))
    assert [row["by"] for row in rows] == ["views", "plain baseline"]
    assert "split" not in rows[0]


def test_without_the_baseline_there_is_nothing_to_test_against():
    (row,) = metric_rows("preview", {"views": np.array([1, 2])}, np.full(2, "val"), (1,))
    assert "mcnemar_p" not in row and row["recall@1"] == 0.5


def test_points_stand_in_their_own_rows_alone():
    """Search and `all` go by images; the row with points shows what they would change."""
    east, north = np.eye(2, dtype=np.float32)
    queries = ViewEmbeddings(east[None, None], east[None, None])
    gallery = ViewEmbeddings(np.stack([[east], [north]]), np.stack([[north], [east]]))
    points = np.stack([north, east])
    found = {
        name: rows[0].tolist() for name, rows in similarities(queries, gallery, points).items()
    }
    assert found["points"] == [0, 1] and found["views"] == [1, 0]
    np.testing.assert_allclose(found["views and points"], [1, 0.1])
    np.testing.assert_allclose(found["all"], [0.5, 0.5])
    fused = fusion.fuse(queries.learned[:, 0], gallery.learned, points)
    np.testing.assert_array_equal(fused, [[1, 0]])
