"""Meshes and images of decoded latents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import to_bytes
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.surface import voxels_to_mesh
from triform.systems.shap_e.encoder_inputs import field_positions
from triform.systems.shap_e.transmitter.decoder import Decoder
from triform.systems.shap_e.transmitter.volume_rendering import RAYS_AT_A_TIME, render_rays

POSITIONS_AT_A_TIME = 65536
PREVIEW_DISTANCE, PREVIEW_FOV, PREVIEW_TILT = 4.0, 0.7, 0.5
"""Shap-E's previews: distance of the camera, angle of view, and its height over its distance."""


@dataclass(frozen=True, eq=False)
class ColoredMesh:
    """A closed mesh with a colour at each vertex.

    Attributes:
        mesh: In [-1/2, 1/2]^3, with the colours as its appearance.
        colors: sRGB of the vertices (V, 3) uint8.
    """

    mesh: Mesh
    colors: np.ndarray


@torch.no_grad()
def decode_field(decoder: Decoder, latent: Tensor, size: int) -> Tensor:
    """Field of a latent (V, W) at the centres of voxels: (R, R, R), positive inside."""
    weights = decoder.weights(latent[None])
    positions = field_positions(size).to(latent.device)
    parts = [
        decoder.query(weights, part[None]).field[0].cpu()
        for part in positions.split(POSITIONS_AT_A_TIME)
    ]
    return torch.cat(parts).view(size, size, size)


@torch.no_grad()
def decode_mesh(decoder: Decoder, latent: Tensor, size: int) -> ColoredMesh | None:
    """The surface of a latent with its colours; None if nothing is inside."""
    field = decode_field(decoder, latent, size).numpy()
    if not (field > 0).any():
        return None
    mesh = voxels_to_mesh(field, level=0.0)
    positions = torch.from_numpy(2 * mesh.vertices).float().to(latent.device)
    weights = decoder.weights(latent[None])
    parts = [
        decoder.query(weights, part[None]).stf_colors[0].cpu()
        for part in positions.split(POSITIONS_AT_A_TIME)
    ]
    colors = to_bytes(torch.cat(parts).double().numpy())
    return ColoredMesh(with_vertex_colors(mesh, colors), colors)


def with_vertex_colors(mesh: Mesh, colors: np.ndarray) -> Mesh:
    """A mesh that is drawn with colours of its vertices (V, 3) uint8 sRGB."""
    white = Material(np.full(3, 255, np.uint8))
    appearance = Appearance(
        np.zeros(len(mesh.faces), np.int32), (white,), corner_colors=colors[mesh.faces]
    )
    return Mesh(mesh.vertices, mesh.faces, None, appearance)


def preview_rays(size: int, azimuth: float) -> tuple[Tensor, Tensor]:
    """Origins and unit directions of the rays of a preview (size^2, 3), +Y up.

    Args:
        size: Pixels along each side.
        azimuth: Radians about +Y; 0 looks at the front (+Z).
    """
    z = np.array([-math.sin(azimuth), -PREVIEW_TILT, -math.cos(azimuth)])
    z /= np.linalg.norm(z)
    x = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    y = np.cross(z, x)
    steps = np.linspace(-1, 1, size) * math.tan(PREVIEW_FOV / 2)
    columns, rows = np.meshgrid(steps, steps)
    rays = z + columns[..., None] * x + rows[..., None] * y
    rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)
    origins = np.broadcast_to(-PREVIEW_DISTANCE * z, rays.shape)
    return torch.from_numpy(origins.copy()).float(), torch.from_numpy(rays).float()


@torch.no_grad()
def render_latent(decoder: Decoder, latent: Tensor, size: int, azimuth: float) -> np.ndarray:
    """Image (size, size, 3) uint8 of a latent (V, W) by volume rendering, on white."""
    weights = decoder.weights(latent[None])
    origins, directions = preview_rays(size, azimuth)
    random = torch.Generator().manual_seed(0)
    rows = [
        render_rays(decoder, weights, o[None].to(latent), d[None].to(latent), random)[0][0].cpu()
        for o, d in zip(
            origins.split(RAYS_AT_A_TIME), directions.split(RAYS_AT_A_TIME), strict=True
        )
    ]
    return to_bytes(torch.cat(rows).double().numpy()).reshape(size, size, 3)
