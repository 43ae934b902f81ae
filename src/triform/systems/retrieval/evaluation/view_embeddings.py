"""Embeddings and HOG descriptors of query images and of rendered views of meshes.

| row | similarity of an image and a mesh |
|---|---|
| `points` | embedding of the image, embedding of the point cloud |
| `views` | embedding of the image, the best embedding of the rendered views; as in `search` |
| `views and points` | the sum of both (`fusion.fuse`) |
| `plain baseline` | HOG descriptors of the image and of the best view; nothing learned |
| `all` | embedding and HOG descriptor as one vector, best of nine rolls (`fusion.best_roll`) |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from triform.datasets.array_cache import cached_array
from triform.datasets.shape import Shape
from triform.geometry.render.views import VERSION
from triform.images.framing import frame
from triform.systems.retrieval.evaluation.hog_baseline import hog_descriptors
from triform.systems.retrieval.gallery import fusion
from triform.systems.retrieval.trained import Retriever

SIZE = 96
"""Pixels along each side of the images that are described."""


@dataclass(frozen=True)
class ViewEmbeddings:
    """Embeddings and descriptors of several images of each object.

    Attributes:
        learned: Embeddings (n, V, D) of length 1.
        hog: HOG descriptors (n, V, F) of length 1.
    """

    learned: np.ndarray
    hog: np.ndarray

    @property
    def joined(self) -> np.ndarray:
        """Both as one vector (n, V, D + F) of length 1."""
        return fusion.join(self.learned, self.hog)


def embed_views(retriever: Retriever, framed: np.ndarray) -> ViewEmbeddings:
    """Embed framed images (n, V, S, S, 4) of n objects."""
    flat = framed.reshape(-1, *framed.shape[2:])
    size = (retriever.image_size,) * 2
    small = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in flat]
    learned = retriever.encode_framed(np.stack([np.array(image) for image in small]))
    return ViewEmbeddings(
        learned.reshape(*framed.shape[:2], -1), hog_descriptors(flat).reshape(*framed.shape[:2], -1)
    )


def embed_queries(retriever: Retriever, images: Sequence[Image.Image]) -> ViewEmbeddings:
    """Embed images of any mode and size, each as it is and rolled."""
    framed = np.stack([frame(image, SIZE) for image in images])
    return embed_views(retriever, fusion.rolled(framed).swapaxes(0, 1))


def embed_gallery(retriever: Retriever, shapes: Sequence[Shape]) -> ViewEmbeddings:
    """Embed meshes by their rendered views; the images are kept in the cache folder."""
    parameters = [f"gallery {VERSION} {fusion.AZIMUTHS} {fusion.ELEVATIONS} {SIZE}"]
    parameters += [shape.fingerprint for shape in shapes]
    name = hashlib.sha256("\n".join(parameters).encode()).hexdigest()[:24]
    views = cached_array(
        f"{name}_rendered",
        (len(shapes), fusion.AZIMUTHS * len(fusion.ELEVATIONS), SIZE, SIZE, 4),
        np.uint8,
        lambda index: fusion.gallery_views(shapes[index].load(appearance=True), SIZE),
        "views",
    )
    parts = [embed_views(retriever, np.asarray(images)[None]) for images in views]
    return ViewEmbeddings(
        np.concatenate([part.learned for part in parts]),
        np.concatenate([part.hog for part in parts]),
    )


def similarities(
    queries: ViewEmbeddings, gallery: ViewEmbeddings, points: np.ndarray
) -> dict[str, np.ndarray]:
    """Similarities (q, n) of images and meshes by each row of the table above.

    Args:
        queries: as `embed_queries` returns them.
        gallery: as `embed_gallery` returns them.
        points: embeddings (n, D) of the meshes' point clouds.
    """
    upright = queries.learned[:, 0]
    rolls = queries.joined.swapaxes(0, 1)
    return {
        "points": upright @ points.T,
        "views": fusion.best_view(upright, gallery.learned),
        "views and points": fusion.fuse(
            upright, gallery.learned, points, fusion.MEASURED_POINT_WEIGHT
        ),
        "plain baseline": fusion.best_view(queries.hog[:, 0], gallery.hog),
        "all": fusion.best_roll(rolls, gallery.joined) + fusion.POINT_WEIGHT * (upright @ points.T),
    }
