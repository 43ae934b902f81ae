"""Sheets of decoded shapes, or of latents themselves where there is no decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from triform.geometry.mesh import Mesh
from triform.geometry.render.views import BACKGROUND, render
from triform.images.contact_sheet import save_contact_sheet
from triform.systems.shap_e.output.mesh import decode_mesh
from triform.systems.shap_e.transmitter.decoder import Decoder

SIZE = 128
LATENT_SIZE = 128


def draw_mesh(mesh: Mesh | None, size: int = SIZE, azimuth: float = 0.6) -> np.ndarray:
    """Image (size, size, 3) of a mesh; an empty one for None."""
    if mesh is None:
        return np.full((size, size, 3), BACKGROUND, np.uint8)
    return np.asarray(render(mesh, size=size, azimuth=azimuth, samples=2))


def draw_shapes(
    decoder: Decoder, rows: Sequence[Tensor], labels: Sequence[str], size: int, path: Path
) -> None:
    """Save shapes of latents, a row of the sheet for each of `rows` (N, V, W)."""
    images = []
    for latents in rows:
        for latent in latents:
            decoded = decode_mesh(decoder, latent, size)
            images.append(draw_mesh(None if decoded is None else decoded.mesh))
    save_contact_sheet(images, [*labels] * len(rows), path, columns=len(labels))


def draw_latents(rows: Sequence[Tensor], labels: Sequence[str], path: Path) -> None:
    """Save latents as images: red is positive, blue negative, white is 0."""
    images = [latent_image(latent) for latents in rows for latent in latents]
    save_contact_sheet(images, [*labels] * len(rows), path, columns=len(labels))


def latent_image(latent: Tensor) -> np.ndarray:
    """A latent (V, W) in [-1, 1] as an image, at most 128 pixels along each side."""
    values = latent.float().cpu().numpy()
    stride = [max(1, size // LATENT_SIZE) for size in values.shape]
    values = values[:: stride[0], :: stride[1]].clip(-1, 1)
    red, blue = 1 - np.maximum(-values, 0), 1 - np.maximum(values, 0)
    green = 1 - np.abs(values)
    return np.asarray(np.rint(np.stack([red, green, blue], -1) * 255), np.uint8)
