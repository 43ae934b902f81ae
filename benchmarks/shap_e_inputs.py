"""Sizes, weights and inputs by which our Shap-E is compared with the original.

All numbers come from names, shapes and fixed seeds, so that they can be made again without the
original: `tests/systems/shap_e/test_recorded.py` does so.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.views import Views


def fixed(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Tensor:
    """Normal numbers that do not depend on torch's generator."""
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape)).float() * scale


def weight_of(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    """Weights by the name that they have in the original."""
    values = fixed(shape, zlib.crc32(name.encode()), scale)
    return 1 + values if name.endswith("weight") and len(shape) == 1 else values


def prior_inputs(kind: str, sizes: dict[str, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents (2, V, W), noise, steps and conditions."""
    shape = (2, sizes["vectors"], sizes["channels"])
    is_image = kind == "image300M"
    cond = fixed((2, sizes["grid"] ** 2, sizes["cond"]) if is_image else (2, sizes["cond"]), 103)
    if not is_image:
        cond = cond / cond.norm(dim=-1, keepdim=True)
    return fixed(shape, 101).tanh(), fixed(shape, 102), torch.tensor([0, 700]), cond


def look_at(direction: np.ndarray) -> tuple[np.ndarray, ...]:
    """Origin and axes of a camera that looks at the origin from a distance of 4."""
    z = -direction / np.linalg.norm(direction)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    return -4 * z, x, np.cross(z, x), z


def transmitter_inputs(
    config: TransmitterConfig,
) -> tuple[Tensor, Views, Tensor, list[tuple[np.ndarray, ...]]]:
    """Points (2, N, 6), views of 2 shapes, their alpha, and the cameras that both share."""
    size, count = config.view_size, config.inner_views + 1
    points = torch.cat(
        [
            fixed((2, config.inner_points + 9, 3), 201).tanh(),
            fixed((2, config.inner_points + 9, 3), 202).sigmoid(),
        ],
        -1,
    )
    poses = [look_at(row) for row in np.random.RandomState(3).randn(count, 3)]
    colors = fixed((2, count, 3, size, size), 203).tanh()
    depth = 3.5 + fixed((2, count, 1, size, size), 204).tanh()
    alpha = (fixed((2, count, 1, size, size), 205) > 0).float()
    views = Views(
        colors,
        alpha >= 0.999,
        depth,
        torch.from_numpy(np.stack([p[0] for p in poses])).float()[None].expand(2, -1, -1),
        axes=torch.from_numpy(np.stack([p[1:] for p in poses])).float()[None].expand(2, -1, -1, -1),
        fov=torch.full((2, count), 0.7),
    )
    return points, views, alpha, poses


def query_inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions in the box with directions, and rays that pass it, each (1, 64, 3)."""
    positions = fixed((1, 64, 3), 206).tanh()
    origins = fixed((1, 64, 3), 207)
    origins = 4 * origins / origins.norm(dim=-1, keepdim=True)
    aims = fixed((1, 64, 3), 208, 0.4) - origins
    return (
        positions,
        positions / positions.norm(dim=-1, keepdim=True),
        origins,
        aims / aims.norm(dim=-1, keepdim=True),
    )


def digest(tensor: Tensor) -> dict[str, Any]:
    """Some numbers of a tensor: mean, standard deviation, and 16 values at even distances."""
    flat = tensor.double().flatten()
    picked = flat[torch.linspace(0, len(flat) - 1, 16).long()]
    return {
        "shape": list(tensor.shape),
        "mean": float(flat.mean()),
        "std": float(flat.std()),
        "values": [round(float(value), 7) for value in picked],
    }


TINY_PRIOR = {
    **{"width": 64, "layers": 2, "heads": 4, "vectors": 16, "channels": 32, "cond": 24},
    **{"grid": 3, "steps": 8},
}


FULL_PRIOR = {
    **{"width": 1024, "layers": 2, "heads": 16, "vectors": 1024, "channels": 1024, "cond": 768},
    **{"grid": 16, "steps": 2},
}


TINY_TRANSMITTER = TransmitterConfig(
    encoder_width=32,
    encoder_layers=3,
    encoder_heads=4,
    data_tokens=24,
    inner_points=60,
    inner_views=3,
    unrolls=2,
    view_size=16,
    view_patch=4,
    latent_width=24,
    hidden=16,
    grid_size=12,
    coarse_samples=8,
    fine_samples=16,
)


FULL_ENCODER = TransmitterConfig(
    encoder_layers=3,
    data_tokens=256,
    inner_points=1024,
    inner_views=2,
    view_size=32,
    view_patch=8,
    hidden=32,
    coarse_samples=16,
    fine_samples=32,
)
"""At the published width; fewer layers, smaller views and patches, since both programs hold it."""
FULL_DECODER = TransmitterConfig(
    encoder_width=32,
    encoder_layers=2,
    encoder_heads=4,
    data_tokens=24,
    inner_points=60,
    inner_views=2,
    view_size=16,
    view_patch=4,
)
"""At the published width, with a small encoder."""
