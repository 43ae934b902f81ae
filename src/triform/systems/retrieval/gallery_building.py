"""Fills a gallery with embeddings, and brings one up to date with what it was made from.

A mesh is found by a picture through its best view and its points: similarity = best over the views
v of (q . v + w q . p) / (1 + w), with p of its points (`fusion.py`). That is one inner product for
each view, so any search engine can answer it. Vectors that are not of length 1 get one more
coordinate that makes them so; queries have 0 there. A text is compared with the mean view and the
points, a mesh with the points.

| kind | vectors | asked by |
|---|---|---|
| `view` | one for each view | pictures |
| `whole` | one | texts |
| `points` | one; alone where there are no views | meshes |
| `picture` | one, of a gallery of pictures | all |
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.search.gallery import Gallery, Record
from triform.systems.retrieval import fusion
from triform.systems.retrieval.gallery_items import Content, Item, packed_tile
from triform.systems.retrieval.trained import Retriever

logger = get_logger(__name__)

Vectors = NDArray[np.float32]
VERSION = 1
ITEMS_AT_ONCE = 16
SECONDS_BETWEEN_SAVES = 60.0
MAIN_KINDS = ("points", "picture")
"""Kinds of which every item has exactly one; its record says all about the item."""


@dataclass
class Changes:
    """What was done to a gallery.

    Attributes:
        added: Items that are new or have changed.
        removed: Items that are gone or have changed.
        skipped: Items that cannot be read, and why.
    """

    added: int = 0
    removed: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def maker(retriever: Retriever, *, views: bool) -> str:
    """Who makes the vectors: changes with the weights and with the recipe."""
    recipe = f"views, points {fusion.POINT_WEIGHT}" if views else "points"
    return f"retrieval {retriever.fingerprint} ({recipe}, version {VERSION})"


def update(
    gallery: Gallery, items: Sequence[Item], retriever: Retriever, *, views: bool
) -> Changes:
    """Make a gallery hold these items, embedding only what it lacks.

    It is saved as it grows: an interrupted build goes on where it was.

    Raises:
        UserError: None of the items can be read, or the gallery is another encoder's.
    """
    known = {
        str(record["item"]): str(record["fingerprint"])
        for record in gallery.records({"kind": list(MAIN_KINDS)}).values()
    }
    wanted = {item.id: item for item in items}
    gone = [
        name for name, fingerprint in known.items()
        if name not in wanted or wanted[name].fingerprint != fingerprint
    ]  # fmt: skip
    changes = Changes(removed=len(gone))
    if gone:
        gallery.remove(gone)
    missing = [item for item in items if item.id not in known or item.id in gone]
    saved = time.monotonic()
    with tqdm(total=len(missing), desc="gallery", unit="", leave=False, disable=None) as bar:
        try:
            for batch, count in _read(missing, changes):
                changes.added += _add(gallery, batch, retriever, changes, views=views)
                bar.update(count)
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    gallery.save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            gallery.save()
            raise
    if items and not len(gallery):
        name, reason = next(iter(changes.skipped.items()))
        raise UserError(f"--gallery: nothing in it can be read; {name}: {reason}")
    if changes.added or changes.removed:
        gallery.save()
    for name, reason in changes.skipped.items():
        logger.warning("left out %s: %s", name, reason)
    return changes


def _read(
    items: Sequence[Item], changes: Changes
) -> Iterator[tuple[list[tuple[Item, Content]], int]]:
    """Items with their contents, and how many were tried; the next batch is read meanwhile."""

    def read(item: Item) -> Content | str:
        try:
            return item.read()
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        batches = [items[n : n + ITEMS_AT_ONCE] for n in range(0, len(items), ITEMS_AT_ONCE)]
        ahead = [[(item, pool.submit(read, item)) for item in batch] for batch in batches[:1]]
        for following in [*batches[1:], []][: len(batches)]:
            ahead.append([(item, pool.submit(read, item)) for item in following])
            found = []
            tried = ahead.pop(0)
            for item, future in tried:
                content = future.result()
                if isinstance(content, str):
                    changes.skipped[item.id] = content
                else:
                    found.append((item, content))
            yield found, len(tried)


def _add(
    gallery: Gallery,
    batch: Sequence[tuple[Item, Content]],
    retriever: Retriever,
    changes: Changes,
    *,
    views: bool,
) -> int:
    """Embed and add items; says how many. One whose points are no good is left out."""
    ids: list[str] = []
    groups: list[str] = []
    rows: list[Vectors] = []
    records: list[Record] = []
    for item, content in batch:
        is_picture = content.mesh is None and content.points is None
        try:
            points = None if is_picture else encode_shape(content, retriever)
        except UserError as error:
            changes.skipped[item.id] = str(error)
            continue
        for kind, vectors in _vectors(content, points, retriever, views=views).items():
            ids += [f"{item.id}#{kind}{number}" for number in range(len(vectors))]
            groups += [item.id] * len(vectors)
            rows += [*vectors]
            record: Record = {"kind": kind, **item.facts}
            if kind in MAIN_KINDS:
                record |= {
                    "item": item.id, "fingerprint": item.fingerprint,
                    "tile": packed_tile(content.tile),
                }  # fmt: skip
            records += [record] * len(vectors)
    if rows:
        encoder = maker(retriever, views=views)
        gallery.add(ids, np.stack(rows), records, encoder=encoder, groups=groups)
    return len(set(groups))


def _vectors(
    content: Content, points: Vectors | None, retriever: Retriever, *, views: bool
) -> dict[str, Vectors]:
    """Kind -> vectors (n, D + 1) of length 1."""
    if points is None:
        return {"picture": widened(retriever.encode_images(content.pictures))}
    found = {"points": widened(points)}
    if views and not content.pictures and content.mesh is None:
        found |= {"view": found["points"], "whole": found["points"]}  # no picture to be found by
    elif views:
        seen = encode_views(content, retriever)
        weight = fusion.POINT_WEIGHT
        mean = seen.mean(axis=0, keepdims=True)
        mean /= max(float(np.linalg.norm(mean)), 1e-9)
        found["view"] = widened((seen + weight * points) / (1 + weight))
        found["whole"] = widened((mean + points) / 2)
    return found


def encode_shape(content: Content, retriever: Retriever) -> Vectors:
    """The vector of a mesh or a cloud, (1, D)."""
    if content.points is not None:
        cloud, colors = content.points
        return retriever.encode_points([cloud], [colors])
    assert content.mesh is not None
    return retriever.encode_meshes([content.mesh])


def encode_views(content: Content, retriever: Retriever) -> Vectors:
    """The vectors of an object's views (V, D), stored or rendered."""
    if content.pictures:
        return retriever.encode_images(content.pictures)
    assert content.mesh is not None
    size = retriever.image_size if not retriever.needs_image_encoder else 224
    framed = fusion.gallery_views(content.mesh, size)
    if retriever.needs_image_encoder:
        return retriever.encode_images([Image.fromarray(view) for view in framed])
    return retriever.encode_framed(framed)


def widened(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Vectors (n, D) of length 1 or less to (n, D + 1) of length 1."""
    squares = np.square(vectors.astype(np.float64)).sum(axis=1)
    rest = np.sqrt(np.maximum(1 - squares, 0))
    # Rounding alone must not make a coordinate of what has length 1 already.
    rest[np.abs(1 - squares) < 1e-5] = 0
    return np.concatenate([vectors, rest[:, None]], axis=1).astype(np.float32)


def asked(vectors: Vectors) -> Vectors:
    """Queries (n, D) as the gallery wants them: nothing in the last coordinate."""
    return np.concatenate([vectors, np.zeros((len(vectors), 1), np.float32)], axis=1)
