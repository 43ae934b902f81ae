"""Queries that this project did not draw: a catalogue's own pictures of its objects.

The renders of a library come from the same program as those of the training. Preview pictures were
made by other software, with another light and from other sides; they say more about the pictures
that people have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.load import KNOWN, load_dataset
from triform.datasets.shape import Shape, list_shapes
from triform.images.read import HELD_SIDE, read_image
from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.metrics.retrieval import numbers_of, ranks, retrieval_metrics
from triform.systems.retrieval import fusion
from triform.systems.retrieval.config import Config, EvaluateConfig
from triform.systems.retrieval.framing import frame
from triform.systems.retrieval.hard_queries import FURTHER_KINDS, HARD_KINDS, harden
from triform.systems.retrieval.looks import Looks, compare, gallery_of, queries_of
from triform.systems.retrieval.objects import Objects
from triform.systems.retrieval.trained import Retriever

logger = get_logger(__name__)

HARD_SIZE = 128
BASELINE = "plain baseline"


def measure_previews(
    retriever: Retriever,
    objects: Objects,
    rows: np.ndarray,
    config: Config,
    settings: EvaluateConfig,
) -> dict[str, Any]:
    """Preview -> mesh and mesh -> preview by each way of comparing (`looks.py`); hard queries.

    Returns:
        `previews` and, where asked for, `hard_previews` and `previews_in_whole_gallery`: rows of
        numbers; where there are several splits also `..._by_split`, the queries of each apart,
        asked of the same gallery. Empty where the objects' data sets have no previews.
    """
    shapes = shapes_of(objects, config.data.library, settings.download_path)
    known = [(row, shapes[source]) for row in rows if (source := objects.sources[row]) in shapes]
    pictures = [(row, shape, data) for row, shape in known if (data := shape.preview())]
    if len(pictures) < 2:
        return {}
    ks = settings.k_list_for_recalls
    queries = [read_image(data, longest=HELD_SIDE) for _, _, data in pictures]
    places = np.asarray([row for row, _, _ in pictures])
    asked = queries_of(retriever, queries)
    gallery = gallery_of(retriever, [shape for _, shape, _ in pictures])
    points = encode_clouds(retriever, objects, places)
    similarities = _chosen(compare(asked, gallery, points), settings)
    right = np.arange(len(pictures))
    splits = np.asarray([objects.splits[row] for row in places])
    compared: list[dict[str, Any]] = []
    for query, turn in (("preview", False), ("mesh", True)):
        by = {name: ranks(s.T if turn else s, right) for name, s in similarities.items()}
        compared += measured(query, by, splits, ks)
    found, apart = _apart(compared)
    if retriever.has_text:
        found += measure_names(retriever, objects, places, gallery.learned, points, ks)
    report: dict[str, Any] = {"previewed_objects": len(pictures), "previews": found}
    if apart:
        report["previews_by_split"] = apart
    if settings.whole_gallery:
        everything = np.asarray([n for n, name in enumerate(objects.sources) if name in shapes])
        report["whole_gallery"] = len(everything)
        whole, apart = _apart(
            measure_whole(retriever, objects, everything, places, shapes, asked, settings)
        )
        report["previews_in_whole_gallery"] = whole
        if apart:
            report["previews_in_whole_gallery_by_split"] = apart
    if settings.hard:
        report["hard_previews"] = measure_hard(retriever, queries, gallery, points, settings)
    return report


def measured(
    query: str, by: dict[str, np.ndarray], splits: np.ndarray, ks: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each way of comparing: of all queries, and of each split's where there are several.

    Args:
        query: What is asked with.
        by: Ranks (q,) of the right answers by each way.
        splits: Split (q,) of each query.
        ks: The K of Recall@K.

    Returns:
        Recall@K with Wilson's 95 % interval of the first K; beside the plain baseline how many
        queries each alone has within the first K, and McNemar's exact probability of that.
    """
    parts = {"": np.full(len(splits), True)}
    names = list(dict.fromkeys(splits.tolist()))
    parts |= {name: splits == name for name in names if len(names) > 1}
    rows = []
    for split, chosen in parts.items():
        for name, found in by.items():
            own = found[chosen]
            first = own <= ks[0]
            row = {"query": query, "by": name, **_rounded(numbers_of(own, ks))}
            row[f"recall@{ks[0]}_interval"] = [
                round(end, 4) for end in share_interval(int(first.sum()), len(own))
            ]
            if BASELINE in by and name != BASELINE:
                plain = by[BASELINE][chosen] <= ks[0]
                ours, theirs, probability = mcnemar_exact(first.tolist(), plain.tolist())
                row |= {
                    "alone_right": ours, "baseline_alone_right": theirs,
                    "mcnemar_p": round(probability, 4),
                }  # fmt: skip
            rows.append(row | ({"split": split, "queries": len(own)} if split else {}))
    return rows


def _apart(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of all queries, and rows of the queries of one split."""
    return [row for row in rows if "split" not in row], [row for row in rows if "split" in row]


def _chosen(similarities: dict[str, np.ndarray], settings: EvaluateConfig) -> dict[str, np.ndarray]:
    return {k: v for k, v in similarities.items() if settings.baseline or k != BASELINE}


def measure_names(
    retriever: Retriever,
    objects: Objects,
    rows: np.ndarray,
    views: np.ndarray,
    points: np.ndarray,
    ks: Sequence[int],
) -> list[dict[str, Any]]:
    """First captions against the same gallery: by points, by the mean view, by both."""
    texts, owners = names_of(objects, rows)
    if not texts:
        return []
    right = np.zeros((len(texts), len(rows)), dtype=bool)
    for row, several in enumerate(owners):
        right[row, several] = True
    asked = retriever.encode_texts(texts)
    mean = views.mean(1)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    similarities = {
        "points": asked @ points.T,
        "mean view": asked @ mean.T,
        "mean view and points": asked @ (mean + fusion.NAME_POINT_WEIGHT * points).T,
    }
    return [
        {"query": "name", "by": name, **_rounded(retrieval_metrics(similarity, right, ks))}
        for name, similarity in similarities.items()
    ]


def measure_whole(
    retriever: Retriever,
    objects: Objects,
    everything: np.ndarray,
    places: np.ndarray,
    shapes: dict[str, Shape],
    asked: Looks,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """The same previews, looked for among all objects of the library."""
    gallery = gallery_of(retriever, [shapes[objects.sources[row]] for row in everything])
    number = {row: place for place, row in enumerate(everything.tolist())}
    right = np.asarray([number[row] for row in places.tolist()])
    found = _chosen(
        compare(asked, gallery, encode_clouds(retriever, objects, everything)), settings
    )
    by = {name: ranks(similarity, right) for name, similarity in found.items()}
    splits = np.asarray([objects.splits[row] for row in places])
    return measured("preview", by, splits, settings.k_list_for_recalls)


def names_of(objects: Objects, rows: np.ndarray) -> tuple[list[str], list[list[int]]]:
    """The first caption of each object, once, and the places in `rows` that bear it."""
    owners: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if objects.captions[row]:
            owners.setdefault(objects.captions[row][0], []).append(place)
    return list(owners), list(owners.values())


def measure_hard(
    retriever: Retriever,
    queries: list[Image.Image],
    gallery: Looks,
    points: np.ndarray,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Recall@1 of previews made hard in each way, their mean, and what is harder still."""
    right = np.arange(len(queries))
    square = [frame(picture, HARD_SIZE) for picture in queries]
    found: dict[str, dict[str, float]] = {}
    for kind in (*HARD_KINDS, *FURTHER_KINDS):
        random = np.random.default_rng(settings.seed)
        hard = [Image.fromarray(harden(picture, kind, random)) for picture in square]
        similarities = _chosen(compare(queries_of(retriever, hard), gallery, points), settings)
        found[kind] = {
            name: retrieval_metrics(similarity, right, (1,))["recall@1"]
            for name, similarity in similarities.items()
        }
    mean = {
        name: float(np.mean([found[kind][name] for kind in HARD_KINDS])) for name in found["crop"]
    }
    names = [*HARD_KINDS, "mean of these", *FURTHER_KINDS]
    rows = {**found, "mean of these": mean}
    return [{"recall@1, made hard by": name, **_rounded(rows[name])} for name in names]


def shapes_of(objects: Objects, library: str, download_path: str) -> dict[str, Shape]:
    """Meshes and previews of the objects that come from a known data set, by their source."""
    names = [library] if library.partition(":")[0].lower() in KNOWN else []
    if not names:
        names = sorted({source.partition("/")[0] for source in objects.sources} & set(KNOWN))
    found: dict[str, Shape] = {}
    for name in names:
        try:
            shapes = list_shapes(load_dataset([name], download_path))
        except UserError as error:
            logger.warning("no preview pictures of %s: %s", name, error)
            continue
        found |= {shape.object_id: shape for shape in shapes}
    return found


def encode_clouds(retriever: Retriever, objects: Objects, rows: np.ndarray) -> np.ndarray:
    """Embeddings of the stored clouds (n, D)."""
    return retriever.encode_points(
        [objects.points[row] for row in rows], [objects.colors[row] for row in rows]
    )


def _rounded(numbers: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}
