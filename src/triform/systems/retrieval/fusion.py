"""How alike pictures and meshes are: the best of a mesh's rendered views, and its point cloud.

A picture shows one side of an object. It is compared with views rendered from all around, of which
the best one counts, and with the embedding of the points, which knows no side.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from triform.geometry.cameras import Camera, fitting_fov, look_at_centre
from triform.geometry.mesh import Mesh, normalize
from triform.geometry.views import render_views
from triform.systems.retrieval.framing import frame

AZIMUTHS, ELEVATIONS = 12, (10, 25, 40)
# Chosen on the 95 validation objects of sweethome3d alone (docs/log.md, 2026-11-29): points beside
# views cost more answers (mesh to picture) than they bring (picture to mesh), so search has none.
POINT_WEIGHT, NAME_POINT_WEIGHT, PLAIN_WEIGHT = 0.0, 0.3, 1.0
# What the row "views and points" of `evaluate` gives them, to show that.
MEASURED_POINT_WEIGHT = 0.1
# Degrees by which a query is rolled, and by how much a rolled one has to be better.
TURNS, TURN_PENALTY = (-40, -30, -20, -10, 10, 20, 30, 40), 0.06
_DISTANCE = 2.5
_RENDERED = 1.5  # pixels rendered for each that is kept, before the cut to the object


def gallery_views(mesh: Mesh, size: int) -> UInt8[np.ndarray, "v size size 4"]:
    """Render the views by which a mesh is found, each cut to the object as a query is.

    Args:
        mesh: any; +Y up.
        size: pixels along each side.
    """
    shape = normalize(mesh)
    cameras = gallery_cameras(fitting_fov(shape, _DISTANCE))
    views = render_views(shape, cameras, round(_RENDERED * size), normalize=False)
    return np.stack([frame(view.rgba, size) for view in views])


def gallery_cameras(fov: float) -> list[Camera]:
    """All around, at the heights from which people take pictures of things."""
    cameras = []
    for up in ELEVATIONS:
        rise = math.radians(up)
        for turn in range(AZIMUTHS):
            around = 2 * math.pi * turn / AZIMUTHS
            flat = math.cos(rise)
            direction = [math.sin(around) * flat, math.sin(rise), math.cos(around) * flat]
            cameras.append(look_at_centre(np.array(direction), distance=_DISTANCE, fov=fov))
    return cameras


def turned(framed: UInt8[np.ndarray, "q s s 4"]) -> UInt8[np.ndarray, "t q s s 4"]:
    """Queries as they are, and rolled by each of `TURNS`, cut to the object again.

    Where the background could not be taken away, a rolled picture would show it rolled as well:
    such a picture stays as it is.
    """
    size = framed.shape[1]
    rows = [framed]
    for angle in TURNS:
        rows.append(np.stack([_turn(picture, angle, size) for picture in framed]))
    return np.stack(rows)


def _turn(picture: np.ndarray, angle: float, size: int) -> np.ndarray:
    if picture[..., 3].min() > 250:
        return picture
    rolled = Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    return frame(rolled, size)


def join(
    learned: Float32[np.ndarray, "*n d"],
    plain: Float32[np.ndarray, "*n f"],
    weight: float = PLAIN_WEIGHT,
) -> Float32[np.ndarray, "*n d+f"]:
    """Embedding and plain descriptor of a picture as one vector of length 1.

    The cosine of two such vectors is the mean of both cosines, the plain one's with `weight`.
    """
    both = np.concatenate([learned, math.sqrt(weight) * plain], axis=-1)
    return np.asarray(both / math.sqrt(1 + weight)).astype(np.float32)


def best_view(
    queries: Float32[np.ndarray, "q d"], views: Float32[np.ndarray, "n v d"]
) -> Float32[np.ndarray, "q n"]:
    """Cosine of each query with the best view of each object; all vectors have length 1."""
    scores = queries @ views.reshape(-1, views.shape[-1]).T
    return np.asarray(scores.reshape(len(queries), *views.shape[:2]).max(axis=2))


def best_turn(
    queries: Float32[np.ndarray, "t q d"], views: Float32[np.ndarray, "n v d"]
) -> Float32[np.ndarray, "q n"]:
    """The same for queries as `turned` returns them; a rolled one has to be better by a margin."""
    scores = np.stack([best_view(rows, views) for rows in queries])
    scores[1:] -= TURN_PENALTY
    return np.asarray(scores.max(axis=0))


def fuse(
    queries: Float32[np.ndarray, "q d"],
    views: Float32[np.ndarray, "n v d"],
    points: Float32[np.ndarray, "n d"],
    weight: float = POINT_WEIGHT,
) -> Float32[np.ndarray, "q n"]:
    """Similarity of pictures and objects; its transpose is that of objects and pictures.

    Args:
        queries: embeddings of pictures.
        views: embeddings of each object's rendered views.
        points: embeddings of each object's point cloud.
        weight: of the point cloud; the views have 1.
    """
    return np.asarray(best_view(queries, views) + weight * (queries @ points.T)).astype(np.float32)
