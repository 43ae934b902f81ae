"""Similarity of images and meshes: the best rendered view of a mesh, fused with its points.

An image shows one side of an object. It is compared with views rendered from all around, of which
the best one counts, and with the embedding of the points, which is the same from all sides.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image

from triform.geometry.mesh import Mesh, normalize
from triform.geometry.render.cameras import Camera, fitting_fov, look_at_origin
from triform.geometry.render.views import render_views
from triform.images.framing import frame
from triform.systems.retrieval.gallery.entries import Content
from triform.systems.retrieval.trained import Retriever

Embeddings = NDArray[np.float32]
AZIMUTHS, ELEVATIONS = 12, (10, 25, 40)
# Chosen on the 95 validation objects of sweethome3d alone (docs/log.md, 2026-11-29): points
# beside views lose more (mesh to image) than they gain (image to mesh), so search has none.
POINT_WEIGHT, NAME_POINT_WEIGHT, HOG_WEIGHT = 0.0, 0.3, 1.0
# Weight of the points in the row "views and points" of `evaluate`, which shows that.
MEASURED_POINT_WEIGHT = 0.1
# Degrees by which a query is rolled, and how much more similar a rolled one has to be.
ROLLS, ROLL_PENALTY = (-40, -30, -20, -10, 10, 20, 30, 40), 0.06
_DISTANCE = 2.5
_SUPERSAMPLING = 1.5  # rendered size over the final one, before the crop to the object


def gallery_views(mesh: Mesh, size: int) -> UInt8[np.ndarray, "v size size 4"]:
    """Render the gallery views of a mesh, each cropped to the object as a query is.

    Args:
        mesh: any; +Y up.
        size: pixels along each side.
    """
    shape = normalize(mesh)
    cameras = gallery_cameras(fitting_fov(shape, _DISTANCE))
    views = render_views(shape, cameras, round(_SUPERSAMPLING * size), normalize=False)
    return np.stack([frame(view.rgba, size) for view in views])


def gallery_cameras(fov: float) -> list[Camera]:
    """Cameras all around, at the elevations from which people photograph objects."""
    cameras = []
    for degrees in ELEVATIONS:
        elevation = math.radians(degrees)
        for index in range(AZIMUTHS):
            azimuth = 2 * math.pi * index / AZIMUTHS
            flat = math.cos(elevation)
            direction = [math.sin(azimuth) * flat, math.sin(elevation), math.cos(azimuth) * flat]
            cameras.append(look_at_origin(np.array(direction), distance=_DISTANCE, fov=fov))
    return cameras


def rolled(framed: UInt8[np.ndarray, "q s s 4"]) -> UInt8[np.ndarray, "t q s s 4"]:
    """Queries as they are, and rolled by each of `ROLLS`, cropped to the object again.

    Where the background could not be removed, it would be rolled as well: such an image stays as
    it is.
    """
    size = framed.shape[1]
    rows = [framed]
    for angle in ROLLS:
        rows.append(np.stack([_roll(image, angle, size) for image in framed]))
    return np.stack(rows)


def _roll(image: np.ndarray, angle: float, size: int) -> np.ndarray:
    if image[..., 3].min() > 250:
        return image
    rotated = Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    return frame(rotated, size)


def join(
    learned: Float32[np.ndarray, "*n d"],
    hog: Float32[np.ndarray, "*n f"],
    weight: float = HOG_WEIGHT,
) -> Float32[np.ndarray, "*n d+f"]:
    """Embedding and HOG descriptor of an image as one vector of length 1.

    The cosine of two such vectors is the weighted mean of both cosines, HOG's with `weight`.
    """
    joined = np.concatenate([learned, math.sqrt(weight) * hog], axis=-1)
    return np.asarray(joined / math.sqrt(1 + weight)).astype(np.float32)


def best_view(
    queries: Float32[np.ndarray, "q d"], views: Float32[np.ndarray, "n v d"]
) -> Float32[np.ndarray, "q n"]:
    """Cosine of each query with the best view of each object; all embeddings have length 1."""
    scores = queries @ views.reshape(-1, views.shape[-1]).T
    return np.asarray(scores.reshape(len(queries), *views.shape[:2]).max(axis=2))


def best_roll(
    queries: Float32[np.ndarray, "t q d"], views: Float32[np.ndarray, "n v d"]
) -> Float32[np.ndarray, "q n"]:
    """`best_view` of the best roll of queries as `rolled` returns them; upright has a margin."""
    scores = np.stack([best_view(rows, views) for rows in queries])
    scores[1:] -= ROLL_PENALTY
    return np.asarray(scores.max(axis=0))


def fuse(
    queries: Float32[np.ndarray, "q d"],
    views: Float32[np.ndarray, "n v d"],
    points: Float32[np.ndarray, "n d"],
    weight: float = POINT_WEIGHT,
) -> Float32[np.ndarray, "q n"]:
    """Similarity of images and objects; its transpose is that of objects and images.

    Args:
        queries: embeddings of images.
        views: embeddings of each object's rendered views.
        points: embeddings of each object's point cloud.
        weight: of the point cloud; the views have 1.
    """
    return np.asarray(best_view(queries, views) + weight * (queries @ points.T)).astype(np.float32)


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
        views = gallery_views(content.mesh, FROZEN_ENCODER_VIEWS)
        return retriever.encode_images([Image.fromarray(view) for view in views])
    return retriever.encode_framed(gallery_views(content.mesh, retriever.image_size))


def with_points(views: Embeddings, points: Embeddings) -> Embeddings:
    """Weighted mean of each view (V, D) and the points (1, D), of length at most 1."""
    weight = POINT_WEIGHT
    return np.asarray((views + weight * points) / (1 + weight))
