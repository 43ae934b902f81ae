"""Queries that this project did not draw: a catalogue's own pictures of its objects.

The renders of a library come from the same program as those of the training. Preview pictures were
made by other software, with another light and from other sides; they say more about the pictures
that people have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.load import KNOWN, load_dataset
from triform.datasets.shape import Shape, list_shapes
from triform.images.picture import read_picture
from triform.metrics.retrieval import retrieval_metrics
from triform.systems.retrieval import fusion
from triform.systems.retrieval.config import Config, EvaluateConfig
from triform.systems.retrieval.framing import frame
from triform.systems.retrieval.hard_queries import HARD_KINDS, harden
from triform.systems.retrieval.objects import Objects, packed
from triform.systems.retrieval.fusion import best_view
from triform.systems.retrieval.plain import describe, plain_views
from triform.systems.retrieval.trained import Retriever

logger = get_logger(__name__)

HARD_SIZE = 128
PLAIN_SIZE = 96


def measure_previews(
    retriever: Retriever,
    objects: Objects,
    rows: np.ndarray,
    config: Config,
    settings: EvaluateConfig,
) -> dict[str, Any]:
    """Preview -> mesh and mesh -> preview, by points alone, by views alone, by both; hard queries.

    Returns:
        `previews` and, where asked for, `hard_previews`: rows of numbers; empty where the objects'
        data sets have no previews.
    """
    shapes = shapes_of(objects, config.data.library, settings.download_path)
    known = [(row, shapes[source]) for row in rows if (source := objects.sources[row]) in shapes]
    pictures = [(row, shape, data) for row, shape in known if (data := shape.preview())]
    if len(pictures) < 2:
        return {}
    ks = settings.k_list_for_recalls
    queries = [read_picture(data) for _, _, data in pictures]
    places = np.asarray([row for row, _, _ in pictures])
    gallery = [shape for _, shape, _ in pictures]
    asked = retriever.encode_images(queries)
    points = encode_clouds(retriever, objects, places)
    views = encode_views(retriever, gallery)
    similarities = {
        "points": asked @ points.T,
        "views": fusion.best_view(asked, views),
        "views and points": fusion.fuse(asked, views, points),
    }
    plain = None
    if settings.baseline:
        plain = plain_gallery(gallery)
        framed = np.stack([frame(picture, PLAIN_SIZE) for picture in queries])
        similarities["plain baseline"] = best_view(describe(framed), plain)
    right = np.arange(len(pictures))
    found = []
    for query, turned in (("preview", False), ("mesh", True)):
        for name, similarity in similarities.items():
            numbers = retrieval_metrics(similarity.T if turned else similarity, right, ks)
            found.append({"query": query, "by": name, **_rounded(numbers)})
    if retriever.has_text:
        found += measure_names(retriever, objects, places, views, points, ks)
    report: dict[str, Any] = {"previewed_objects": len(pictures), "previews": found}
    if settings.whole_gallery:
        everything = [row for row in range(len(objects)) if objects.sources[row] in shapes]
        report["whole_gallery"] = len(everything)
        report["previews_in_whole_gallery"] = measure_whole(
            retriever, objects, np.asarray(everything), places, shapes, queries, settings
        )
    if settings.hard:
        report["hard_previews"] = measure_hard(
            retriever, queries, views, points, plain, settings.seed
        )
    return report


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
        "mean view and points": asked @ (mean + points).T,
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
    queries: list[Image.Image],
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """The same previews, looked for among all objects of the library."""
    gallery = [shapes[objects.sources[row]] for row in everything]
    number = {row: place for place, row in enumerate(everything.tolist())}
    right = np.asarray([number[row] for row in places.tolist()])
    views = encode_views(retriever, gallery)
    points = encode_clouds(retriever, objects, everything)
    similarities = {
        "views and points": fusion.fuse(retriever.encode_images(queries), views, points)
    }
    if settings.baseline:
        framed = np.stack([frame(picture, PLAIN_SIZE) for picture in queries])
        similarities["plain baseline"] = best_view(describe(framed), plain_gallery(gallery))
    return [
        {
            "query": "preview",
            "by": name,
            **_rounded(retrieval_metrics(similarity, right, settings.k_list_for_recalls)),
        }
        for name, similarity in similarities.items()
    ]


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
    views: np.ndarray,
    points: np.ndarray,
    plain: np.ndarray | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Recall@1 of previews made hard in each way, and its mean."""
    right = np.arange(len(queries))
    square = [frame(picture, HARD_SIZE) for picture in queries]
    found: list[dict[str, Any]] = []
    for kind in HARD_KINDS:
        random = np.random.default_rng(seed)
        hard = [Image.fromarray(harden(picture, kind, random)) for picture in square]
        asked = retriever.encode_images(hard)
        row = {
            "made hard by": kind,
            "recall@1": retrieval_metrics(fusion.fuse(asked, views, points), right, (1,))[
                "recall@1"
            ],
        }
        if plain is not None:
            framed = np.stack([frame(picture, PLAIN_SIZE) for picture in hard])
            similarity = best_view(describe(framed), plain)
            row["plain baseline"] = retrieval_metrics(similarity, right, (1,))["recall@1"]
        found.append(_rounded(row))
    mean = {key: float(np.mean([row[key] for row in found])) for key in found[0] if key[0] != "m"}
    return [*found, {"made hard by": "mean of all", **_rounded(mean)}]


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


def encode_views(retriever: Retriever, shapes: list[Shape]) -> np.ndarray:
    """Embeddings of rendered views (n, V, D); the pictures are kept in the cache folder."""
    size = retriever.image_size
    count = fusion.AZIMUTHS * len(fusion.ELEVATIONS)
    table = _rendered(
        shapes, f"gallery {fusion.AZIMUTHS} {fusion.ELEVATIONS} {size}", (count, size, size, 4),
        lambda shape: fusion.gallery_views(shape.load(), size),
    )  # fmt: skip
    return np.stack([retriever.encode_framed(np.asarray(pictures)) for pictures in table])


def plain_gallery(shapes: list[Shape]) -> np.ndarray:
    """Descriptors of the plain baseline's views (n, V, F)."""
    first = plain_views(shapes[0].load(), PLAIN_SIZE)
    table = _rendered(
        shapes, f"plain {PLAIN_SIZE}", first.shape,
        lambda shape: plain_views(shape.load(), PLAIN_SIZE),
    )  # fmt: skip
    return np.stack([describe(np.asarray(pictures)) for pictures in table])


def _rendered(shapes: list[Shape], how: str, shape: tuple[int, ...], draw: Any) -> np.ndarray:
    facts = "\n".join([how, *(each.fingerprint for each in shapes)])
    name = hashlib.sha256(facts.encode()).hexdigest()[:24]
    return packed(
        f"{name}_rendered", (len(shapes), *shape), np.uint8, lambda n: draw(shapes[n]), "views"
    )


def _rounded(numbers: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}
