"""Latents of the shapes of a data set, computed once for an autoencoder and cached."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.base.progress import progress_bar
from triform.systems.shape_flow.autoencoder import Autoencoder
from triform.systems.shape_flow.data import ShapeDataset, turn

BATCH_SIZE = 16
MIRROR = 1
"""The symmetry of `turn` that mirrors x."""


@torch.no_grad()
def encode_rows(
    autoencoder: Autoencoder, dataset: ShapeDataset, rows: np.ndarray, *, mirror: bool
) -> Tensor:
    """Posterior means of rows: (N, M, C, G, G, G) float16, M = 2 with mirrored shapes, else 1."""
    digest = hashlib.sha256(str(mirror).encode())
    for name, tensor in autoencoder.encoder.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    for row in rows:
        digest.update(dataset.table.shapes[row].fingerprint.encode())
    path = cache_dir() / "latents" / f"{digest.hexdigest()}.npy"
    if path.is_file():
        return torch.from_numpy(np.load(path, allow_pickle=False))
    parts = []
    starts = range(0, len(rows), BATCH_SIZE)
    for start in progress_bar(starts, desc="encoding shapes", unit="batch"):
        distance, colors = dataset.fields(rows[start : start + BATCH_SIZE])
        versions = [autoencoder.encoder(distance, colors)[0]]
        if mirror:
            turned = [torch.stack([turn(x, MIRROR) for x in field]) for field in (distance, colors)]
            versions.append(autoencoder.encoder(*turned)[0])
        parts.append(torch.stack(versions, dim=1).half())
    shape = (0, 1 + mirror, *autoencoder.latent_shape(dataset.table.resolution))
    latents = torch.cat([torch.zeros(shape, dtype=torch.float16), *parts]).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.save(file, latents.numpy())
    return latents
