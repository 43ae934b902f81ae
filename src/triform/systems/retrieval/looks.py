"""What pictures and meshes are compared by: learned embeddings, and plain descriptors beside them.

| row | how a picture and a mesh are compared |
|---|---|
| `points` | embedding of the picture, embedding of the point cloud |
| `views` | embedding of the picture, the best one of the rendered views; what `search` does |
| `views and points` | the sum of both (`fusion.fuse`) |
| `plain baseline` | plain descriptors of the picture and of the best view; nothing learned |
| `all` | embedding and plain descriptor as one vector, best of nine turns (`fusion.best_turn`) |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from triform.datasets.packed import packed
from triform.datasets.shape import Shape
from triform.geometry.views import VERSION
from triform.systems.retrieval import fusion
from triform.systems.retrieval.framing import frame
from triform.systems.retrieval.plain import describe
from triform.systems.retrieval.trained import Retriever

SIZE = 96
"""Pixels along each side of the pictures that both kinds of descriptor are made of."""


@dataclass(frozen=True)
class Looks:
    """Pictures, several of each thing.

    Attributes:
        learned: Embeddings (n, V, D) of length 1.
        plain: Plain descriptors (n, V, F) of length 1.
    """

    learned: np.ndarray
    plain: np.ndarray

    @property
    def joined(self) -> np.ndarray:
        """Both as one vector (n, V, D + F) of length 1."""
        return fusion.join(self.learned, self.plain)


def look_at(retriever: Retriever, framed: np.ndarray) -> Looks:
    """Describe framed pictures (n, V, S, S, 4) of n things."""
    flat = framed.reshape(-1, *framed.shape[2:])
    size = (retriever.image_size,) * 2
    small = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in flat]
    learned = retriever.encode_framed(np.stack([np.array(picture) for picture in small]))
    return Looks(
        learned.reshape(*framed.shape[:2], -1), describe(flat).reshape(*framed.shape[:2], -1)
    )


def queries_of(retriever: Retriever, pictures: Sequence[Image.Image]) -> Looks:
    """Describe pictures of any mode and size, each as it is and turned."""
    framed = np.stack([frame(picture, SIZE) for picture in pictures])
    return look_at(retriever, fusion.turned(framed).swapaxes(0, 1))


def gallery_of(retriever: Retriever, shapes: Sequence[Shape]) -> Looks:
    """Describe meshes by their rendered views; the pictures are kept in the cache folder."""
    facts = [f"gallery {VERSION} {fusion.AZIMUTHS} {fusion.ELEVATIONS} {SIZE}"]
    facts += [shape.fingerprint for shape in shapes]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
    views = packed(
        f"{name}_rendered",
        (len(shapes), fusion.AZIMUTHS * len(fusion.ELEVATIONS), SIZE, SIZE, 4),
        np.uint8,
        lambda number: fusion.gallery_views(shapes[number].load(appearance=True), SIZE),
        "views",
    )
    parts = [look_at(retriever, np.asarray(each)[None]) for each in views]
    return Looks(
        np.concatenate([part.learned for part in parts]),
        np.concatenate([part.plain for part in parts]),
    )


def compare(queries: Looks, gallery: Looks, points: np.ndarray) -> dict[str, np.ndarray]:
    """Similarity (q, n) of pictures and meshes by each row of the table above.

    Args:
        queries: as `queries_of` returns them.
        gallery: as `gallery_of` returns them.
        points: embeddings (n, D) of the meshes' point clouds.
    """
    asked = queries.learned[:, 0]
    turns = queries.joined.swapaxes(0, 1)
    return {
        "points": asked @ points.T,
        "views": fusion.best_view(asked, gallery.learned),
        "views and points": fusion.fuse(
            asked, gallery.learned, points, fusion.MEASURED_POINT_WEIGHT
        ),
        "plain baseline": fusion.best_view(queries.plain[:, 0], gallery.plain),
        "all": fusion.best_turn(turns, gallery.joined) + fusion.POINT_WEIGHT * (asked @ points.T),
    }
