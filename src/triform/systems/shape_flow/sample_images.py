"""Contact sheets of a training run: reconstructions, or shapes generated from captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from triform.base.seeding import generator
from triform.geometry.mesh import MeshError
from triform.geometry.render.views import render
from triform.images.contact_sheet import save_contact_sheet
from triform.systems.shape_flow.autoencoder import Autoencoder
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.layout import Layout, LayoutFlow
from triform.systems.shape_flow.sampling import sample_latents
from triform.systems.shape_flow.surface import field_to_mesh, is_empty

TILE_SIZE = 192
BACKGROUND = 255
SAMPLE_STEPS = 12
GUIDANCE, CELL_GUIDANCE = 2.0, 1.0


def draw_field(distance: np.ndarray, colors: np.ndarray | None = None) -> np.ndarray:
    """Render the surface of a field, (192, 192, 3) uint8; an empty tile where there is none."""
    try:
        if not is_empty(distance):
            return render(field_to_mesh(distance, colors), TILE_SIZE)
    except MeshError:
        pass
    return np.full((TILE_SIZE, TILE_SIZE, 3), BACKGROUND, dtype=np.uint8)


def draw_reconstructions(
    autoencoder: Autoencoder, distance: Tensor, colors: Tensor, path: Path
) -> None:
    """Write fields (B, 1, R, R, R) above their reconstructions as a contact sheet."""
    noise = torch.zeros(len(distance), *autoencoder.latent_shape(distance.shape[-1]))
    decoded, decoded_colors, *_ = autoencoder(distance, colors, noise.to(distance.device))
    fields = torch.cat([distance, decoded.float()])[:, 0].cpu().numpy()
    tints = torch.cat([colors[:, :3], decoded_colors.float()]).cpu().numpy()
    images = [draw_field(field, tint) for field, tint in zip(fields, tints, strict=True)]
    labels = ["original"] * len(distance) + ["reconstruction"] * len(distance)
    save_contact_sheet(images, labels, path, columns=len(distance))


def draw_generated(
    autoencoder: Autoencoder,
    layout: Layout,
    layout_flow: LayoutFlow,
    cell_flow: CellFlow | None,
    condition: Condition,
    labels: list[str],
    path: Path,
) -> None:
    """Write shapes generated from conditions as a contact sheet, with fixed noise."""
    random = generator("sample")
    count, device = len(condition), condition.attributes.device
    latents = sample_latents(
        layout,
        layout_flow,
        cell_flow,
        condition,
        torch.randn(count, layout.code_mean.numel(), generator=random).to(device),
        torch.randn(count, *layout.shape, generator=random).to(device),
        guidance=GUIDANCE,
        cell_guidance=CELL_GUIDANCE,
        num_steps=SAMPLE_STEPS,
        cell_steps=SAMPLE_STEPS,
    )
    distance, colors = autoencoder.decoder(latents)
    fields, tints = distance[:, 0].float().cpu().numpy(), colors.float().cpu().numpy()
    images = [draw_field(field, tint) for field, tint in zip(fields, tints, strict=True)]
    save_contact_sheet(images, labels, path, columns=min(count, 8))
