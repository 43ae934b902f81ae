"""From embeddings of pictures, shapes and texts to the numbers that are reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triform.metrics.retrieval import random_floor, retrieval_metrics
from triform.systems.retrieval.data import Batches
from triform.systems.retrieval.model import ImageTower
from triform.systems.retrieval.recon import ReCon

PICTURES_AT_ONCE = 256
CLOUDS_AT_ONCE = 32


@torch.no_grad()
def embed_objects(
    batches: Batches,
    rows: np.ndarray,
    images: torch.nn.Module | ImageTower,
    points: torch.nn.Module | ReCon,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Embeddings of all pictures (n, V, D) and of the clouds (n, D) of some objects."""
    pictures, clouds = [], []
    step = max(1, PICTURES_AT_ONCE // batches.objects.num_views)
    for start in range(0, len(rows), step):
        views = batches.plain_images(rows[start : start + step])
        embedded, _ = images(views.flatten(0, 1).to(device))
        pictures.append(embedded.float().cpu().unflatten(0, views.shape[:2]))
    for start in range(0, len(rows), CLOUDS_AT_ONCE):
        cloud, colors = batches.plain_clouds(rows[start : start + CLOUDS_AT_ONCE])
        clouds.append(points(cloud.to(device), colors.to(device)).float().cpu())
    return torch.cat(pictures), torch.cat(clouds)


def mean_view(images: Tensor) -> Tensor:
    """Embeddings (n, V, D) of an object's views to that of their mean direction (n, D)."""
    return F.normalize(images.mean(1), dim=-1)


def both_directions(
    images: Tensor, points: Tensor, ks: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Pictures (n, V, D) against clouds (n, D).

    Returns:
        `img2pc`: one picture finds its cloud; `img2pc_mean`: the mean of all views does;
        `pc2img`: a cloud finds its object among means of views; `pc2img_single`: it finds any
        picture of its object among all pictures.
    """
    count, views, _ = images.shape
    number = np.arange(count)
    owner = np.repeat(number, views)
    single = similarity(images.flatten(0, 1), points)
    mean = similarity(mean_view(images), points)
    return {
        "img2pc": retrieval_metrics(single, owner, ks),
        "img2pc_mean": retrieval_metrics(mean, number, ks),
        "pc2img": retrieval_metrics(mean.T, number, ks),
        "pc2img_single": retrieval_metrics(single.T, number[:, None] == owner[None], ks),
    }


def similarity(queries: Tensor, gallery: Tensor) -> np.ndarray:
    """Cosines of vectors (Q, D) and (N, D) of length 1; by numpy, which autocast does not round."""
    return np.asarray(queries.float().numpy() @ gallery.float().numpy().T)


def text_to(
    texts: Tensor, owners: Sequence[Sequence[int]], gallery: Tensor, ks: Sequence[int]
) -> dict[str, float]:
    """Texts (Q, D) against objects (n, D); `owners` are the objects that each text fits."""
    right = np.zeros((len(texts), len(gallery)), dtype=bool)
    for row, several in enumerate(owners):
        right[row, list(several)] = True
    return retrieval_metrics(similarity(texts, gallery), right, ks)


def floor(count: int, ks: Sequence[int]) -> dict[str, float]:
    """What guessing reaches among so many objects."""
    return random_floor(count, ks)
