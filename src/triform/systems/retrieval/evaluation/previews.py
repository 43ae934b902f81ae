"""Evaluation with preview images of a catalogue, which other software rendered.

The renders of a library come from the same program as those of the training. Preview images have
other light and other viewpoints, so they are closer to users' images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.load import DATASETS, load_dataset
from triform.datasets.shape import Shape, list_shapes
from triform.images.framing import frame
from triform.images.read import HELD_SIDE, read_image
from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.metrics.retrieval import metrics_of_ranks, ranks, retrieval_metrics
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.dataset import RetrievalDataset
from triform.systems.retrieval.evaluation.hard_queries import FURTHER_KINDS, HARD_KINDS, corrupt
from triform.systems.retrieval.evaluation.recall import relevance_mask
from triform.systems.retrieval.evaluation.view_embeddings import (
    ViewEmbeddings,
    embed_gallery,
    embed_queries,
    similarities,
)
from triform.systems.retrieval.gallery import fusion
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import EvaluateConfig

logger = get_logger(__name__)

HARD_SIZE = 128
BASELINE = "plain baseline"


def evaluate_previews(
    retriever: Retriever,
    dataset: RetrievalDataset,
    rows: np.ndarray,
    config: Config,
    settings: EvaluateConfig,
) -> dict[str, Any]:
    """Retrieval from preview to mesh and back by each similarity (`view_embeddings.py`).

    Returns:
        `previews` and, by the settings, `hard_previews` and `previews_in_whole_gallery`: rows of
        metrics; where there are several splits also `..._by_split`, the queries of each, on the
        same gallery. Empty where the objects' data sets have no previews.
    """
    shapes = shapes_of(dataset, config.data.library, settings.download_path)
    found = [(row, shapes[source]) for row in rows if (source := dataset.sources[row]) in shapes]
    images = [(row, shape, data) for row, shape in found if (data := shape.preview())]
    if len(images) < 2:
        return {}
    ks = settings.k_list_for_recalls
    queries = [read_image(data, longest=HELD_SIDE) for _, _, data in images]
    rows = np.asarray([row for row, _, _ in images])
    query_embeddings = embed_queries(retriever, queries)
    gallery = embed_gallery(retriever, [shape for _, shape, _ in images])
    points = embed_points(retriever, dataset, rows)
    scores = _scores(query_embeddings, gallery, points, settings)
    labels = np.arange(len(images))
    splits = np.asarray([dataset.splits[row] for row in rows])
    previews = metric_rows("preview", {k: ranks(s, labels) for k, s in scores.items()}, splits, ks)
    previews += metric_rows("mesh", {k: ranks(s.T, labels) for k, s in scores.items()}, splits, ks)
    previews, by_split = _separate_splits(previews)
    if retriever.has_text:
        previews += evaluate_names(retriever, dataset, rows, gallery.learned, points, ks)
    report: dict[str, Any] = {"previewed_objects": len(images), "previews": previews}
    if by_split:
        report["previews_by_split"] = by_split
    if settings.whole_gallery:
        all_rows = np.asarray([n for n, name in enumerate(dataset.sources) if name in shapes])
        report["whole_gallery"] = len(all_rows)
        whole, by_split = _separate_splits(
            evaluate_whole_gallery(
                retriever, dataset, all_rows, rows, shapes, query_embeddings, settings
            )
        )
        report["previews_in_whole_gallery"] = whole
        if by_split:
            report["previews_in_whole_gallery_by_split"] = by_split
    if settings.hard:
        report["hard_previews"] = evaluate_hard(retriever, queries, gallery, points, settings)
    return report


def _separate_splits(
    rows: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of all queries, and rows of the queries of one split."""
    return [row for row in rows if "split" not in row], [row for row in rows if "split" in row]


def _scores(
    queries: ViewEmbeddings, gallery: ViewEmbeddings, points: np.ndarray, settings: EvaluateConfig
) -> dict[str, np.ndarray]:
    """Similarities (q, n) by name, without the baseline if the settings leave it out."""
    scores = similarities(queries, gallery, points)
    return {k: s for k, s in scores.items() if settings.baseline or k != BASELINE}


def metric_rows(
    query: str, by: dict[str, np.ndarray], splits: np.ndarray, ks: Sequence[int]
) -> list[dict[str, Any]]:
    """A row of metrics for each similarity: of all queries, and of each split if several.

    Args:
        query: Kind of the queries.
        by: Ranks (q,) of the relevant entries by each similarity.
        splits: Split (q,) of each query.
        ks: The K of Recall@K.

    Returns:
        Recall@K with Wilson's 95 % interval of the first K; compared with the baseline, how many
        queries only one of both has within the first K, and the p-value of McNemar's exact test.
    """
    parts = {"": np.full(len(splits), True)}
    names = list(dict.fromkeys(splits.tolist()))
    parts |= {name: splits == name for name in names if len(names) > 1}
    rows = []
    for split, mask in parts.items():
        for name, all_ranks in by.items():
            found = all_ranks[mask]
            hits = found <= ks[0]
            row = {"query": query, "by": name, **_rounded(metrics_of_ranks(found, ks))}
            row[f"recall@{ks[0]}_interval"] = [
                round(bound, 4) for bound in share_interval(int(hits.sum()), len(found))
            ]
            if BASELINE in by and name != BASELINE:
                baseline_hits = by[BASELINE][mask] <= ks[0]
                ours, theirs, p_value = mcnemar_exact(hits.tolist(), baseline_hits.tolist())
                row["alone_right"], row["baseline_alone_right"] = ours, theirs
                row["mcnemar_p"] = round(p_value, 4)
            rows.append(row | ({"split": split, "queries": len(found)} if split else {}))
    return rows


def evaluate_names(
    retriever: Retriever,
    dataset: RetrievalDataset,
    rows: np.ndarray,
    views: np.ndarray,
    points: np.ndarray,
    ks: Sequence[int],
) -> list[dict[str, Any]]:
    """Retrieval from first captions to the same gallery: by points, mean view, or both."""
    texts, relevant = first_captions(dataset, rows)
    if not texts:
        return []
    mask = relevance_mask(relevant, len(rows))
    queries = retriever.encode_texts(texts)
    mean = views.mean(1)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    scores = {
        "points": queries @ points.T,
        "mean view": queries @ mean.T,
        "mean view and points": queries @ (mean + fusion.NAME_POINT_WEIGHT * points).T,
    }
    return [
        {"query": "name", "by": name, **_rounded(retrieval_metrics(similarity, mask, ks))}
        for name, similarity in scores.items()
    ]


def evaluate_whole_gallery(
    retriever: Retriever,
    dataset: RetrievalDataset,
    gallery_rows: np.ndarray,
    query_rows: np.ndarray,
    shapes: dict[str, Shape],
    queries: ViewEmbeddings,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Retrieval from the same previews to all objects of the library."""
    gallery = embed_gallery(retriever, [shapes[dataset.sources[row]] for row in gallery_rows])
    index = {row: n for n, row in enumerate(gallery_rows.tolist())}
    labels = np.asarray([index[row] for row in query_rows.tolist()])
    points = embed_points(retriever, dataset, gallery_rows)
    scores = _scores(queries, gallery, points, settings)
    by = {name: ranks(similarity, labels) for name, similarity in scores.items()}
    splits = np.asarray([dataset.splits[row] for row in query_rows])
    return metric_rows("preview", by, splits, settings.k_list_for_recalls)


def first_captions(
    dataset: RetrievalDataset, rows: np.ndarray
) -> tuple[list[str], list[list[int]]]:
    """Distinct first captions, and the indices in `rows` of the objects that have each."""
    relevant: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if dataset.captions[row]:
            relevant.setdefault(dataset.captions[row][0], []).append(index)
    return list(relevant), list(relevant.values())


def evaluate_hard(
    retriever: Retriever,
    queries: list[Image.Image],
    gallery: ViewEmbeddings,
    points: np.ndarray,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Recall@1 of previews with each corruption, the mean of six, and harder ones."""
    labels = np.arange(len(queries))
    square = [frame(image, HARD_SIZE) for image in queries]
    recalls: dict[str, dict[str, float]] = {}
    for kind in (*HARD_KINDS, *FURTHER_KINDS):
        rng = np.random.default_rng(settings.seed)
        hard = [Image.fromarray(corrupt(image, kind, rng)) for image in square]
        scores = _scores(embed_queries(retriever, hard), gallery, points, settings)
        recalls[kind] = {
            name: retrieval_metrics(similarity, labels, (1,))["recall@1"]
            for name, similarity in scores.items()
        }
    mean = {
        name: float(np.mean([recalls[kind][name] for kind in HARD_KINDS]))
        for name in recalls["crop"]
    }
    names = [*HARD_KINDS, "mean of these", *FURTHER_KINDS]
    rows = {**recalls, "mean of these": mean}
    return [{"recall@1, made hard by": name, **_rounded(rows[name])} for name in names]


def shapes_of(dataset: RetrievalDataset, library: str, download_path: str) -> dict[str, Shape]:
    """Meshes and previews of the objects that come from a known data set, by their source."""
    names = [library] if library.partition(":")[0].lower() in DATASETS else []
    if not names:
        names = sorted({source.partition("/")[0] for source in dataset.sources} & set(DATASETS))
    found: dict[str, Shape] = {}
    for name in names:
        try:
            shapes = list_shapes(load_dataset([name], download_path))
        except UserError as error:
            logger.warning("no preview images of %s: %s", name, error)
            continue
        found |= {shape.object_id: shape for shape in shapes}
    return found


def embed_points(retriever: Retriever, dataset: RetrievalDataset, rows: np.ndarray) -> np.ndarray:
    """Embeddings (n, D) of the stored points."""
    return retriever.encode_points(
        [dataset.points[row] for row in rows], [dataset.colors[row] for row in rows]
    )


def _rounded(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in metrics.items()}
