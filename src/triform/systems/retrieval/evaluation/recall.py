"""Retrieval metrics between embeddings of images, shapes and texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.metrics.retrieval import retrieval_metrics
from triform.systems.retrieval.data import Batches

IMAGE_BATCH_SIZE = 256
POINT_BATCH_SIZE = 32


@torch.no_grad()
def embed_objects(
    batches: Batches,
    rows: np.ndarray,
    image_tower: nn.Module,
    point_encoder: nn.Module,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Embeddings of all images (n, V, D) and of the points (n, D) of some objects."""
    image_embeddings, point_embeddings = [], []
    step = max(1, IMAGE_BATCH_SIZE // batches.dataset.num_views)
    for start in range(0, len(rows), step):
        views = batches.unaugmented_images(rows[start : start + step])
        embeddings, _ = image_tower(views.flatten(0, 1).to(device))
        image_embeddings.append(embeddings.float().cpu().unflatten(0, views.shape[:2]))
    for start in range(0, len(rows), POINT_BATCH_SIZE):
        points, colors = batches.unaugmented_points(rows[start : start + POINT_BATCH_SIZE])
        embeddings = point_encoder(points.to(device), colors.to(device))
        point_embeddings.append(embeddings.float().cpu())
    return torch.cat(image_embeddings), torch.cat(point_embeddings)


def mean_view(images: Tensor) -> Tensor:
    """Normalised means (n, D) of the embeddings (n, V, D) of an object's views."""
    return F.normalize(images.mean(1), dim=-1)


def both_directions(
    images: Tensor, points: Tensor, ks: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Metrics of retrieval between images (n, V, D) and point clouds (n, D).

    Returns:
        `img2pc`: from single images to point clouds; `img2pc_mean`: from means of views;
        `pc2img`: from point clouds to means of views; `pc2img_single`: to single images, of
        which any of the object is relevant.
    """
    count, views, _ = images.shape
    index = np.arange(count)
    image_object = np.repeat(index, views)
    single = similarity(images.flatten(0, 1), points)
    mean = similarity(mean_view(images), points)
    return {
        "img2pc": retrieval_metrics(single, image_object, ks),
        "img2pc_mean": retrieval_metrics(mean, index, ks),
        "pc2img": retrieval_metrics(mean.T, index, ks),
        "pc2img_single": retrieval_metrics(single.T, index[:, None] == image_object[None], ks),
    }


def similarity(queries: Tensor, gallery: Tensor) -> np.ndarray:
    """Cosines of embeddings (Q, D) and (N, D) of length 1; numpy ignores autocast."""
    return np.asarray(queries.float().numpy() @ gallery.float().numpy().T)


def text_to(
    texts: Tensor, relevant: Sequence[Sequence[int]], gallery: Tensor, ks: Sequence[int]
) -> dict[str, float]:
    """Metrics of retrieval from texts (Q, D) to objects (n, D), `relevant` for each text."""
    mask = relevance_mask(relevant, len(gallery))
    return retrieval_metrics(similarity(texts, gallery), mask, ks)


def relevance_mask(relevant: Sequence[Sequence[int]], gallery_size: int) -> np.ndarray:
    """Mask (Q, N) of the relevant gallery entries of each query."""
    mask = np.zeros((len(relevant), gallery_size), dtype=bool)
    for row, indices in enumerate(relevant):
        mask[row, list(indices)] = True
    return mask
