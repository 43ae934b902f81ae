"""Embeddings of what a gallery entry or a query shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triform.systems.retrieval.gallery import fusion
from triform.systems.retrieval.gallery.entries import Content
from triform.systems.retrieval.trained import Retriever

Embeddings = NDArray[np.float32]
FROZEN_ENCODER_VIEWS = 224
"""Pixels along each side of the views rendered for a frozen image encoder."""


def embed_points(content: Content, retriever: Retriever) -> Embeddings:
    """Embedding (1, D) of the points of a mesh or of a point cloud."""
    if content.points is not None:
        points, colors = content.points
        return retriever.encode_points([points], [colors])
    assert content.mesh is not None
    return retriever.encode_meshes([content.mesh])


def embed_views(content: Content, retriever: Retriever) -> Embeddings:
    """Embeddings (V, D) of an object's views, stored or rendered."""
    if content.images:
        return retriever.encode_images(content.images)
    assert content.mesh is not None
    if retriever.needs_image_encoder:
        views = fusion.gallery_views(content.mesh, FROZEN_ENCODER_VIEWS)
        return retriever.encode_images([Image.fromarray(view) for view in views])
    return retriever.encode_framed(fusion.gallery_views(content.mesh, retriever.image_size))


def with_points(views: Embeddings, points: Embeddings) -> Embeddings:
    """Weighted mean of each view (V, D) and the points (1, D), of length at most 1."""
    weight = fusion.POINT_WEIGHT
    return np.asarray((views + weight * points) / (1 + weight))
