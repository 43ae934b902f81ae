"""Decoder of a latent: a network whose first layers are projections of it, queried in space.

It gives a signed field (STF: positive inside), a density (NeRF) and colours of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.shap_e.config import (
    DIRECTION_DEGREES,
    DIRECTION_WIDTH,
    TransmitterConfig,
)
from triform.systems.shap_e.transmitter.encodings import encode

OUTPUTS = 12
INITIAL_FIELD = -0.1


@dataclass(frozen=True)
class FieldValues:
    """Values of the decoder at positions.

    Attributes:
        field: (B, N) in [-1, 1], positive inside.
        stf_colors: sRGB of the surface (B, N, 3) in [0, 1].
        density: Coarse and fine (B, N, 2), at least 0.
        nerf_colors: Coarse and fine (B, N, 2, 3) in [0, 1].
    """

    field: Tensor
    stf_colors: Tensor
    density: Tensor
    nerf_colors: Tensor


class ChannelsProjection(nn.Module):
    """Projects each vector of a latent by a matrix of its own to a row of a weight matrix."""

    def __init__(self, vectors: int, channels: int, latent_width: int, scale: float):
        super().__init__()
        self.proj = nn.Linear(latent_width, vectors * channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.normal_(self.proj.weight, std=1 / math.sqrt(latent_width))
        nn.init.zeros_(self.proj.bias)
        nn.init.constant_(self.norm.weight, scale)
        self.vectors, self.channels = vectors, channels

    def forward(self, latents: Tensor) -> Tensor:
        """(B, V, W) to (B, V, C)."""
        weight = self.proj.weight.view(self.vectors, self.channels, -1)
        rows = torch.einsum("bvd,vcd->bvc", latents, weight)
        output: Tensor = self.norm(rows) + self.proj.bias.view(1, self.vectors, self.channels)
        return output


class Decoder(nn.Module):
    """Latents to networks, and positions to values."""

    def __init__(self, config: TransmitterConfig):
        super().__init__()
        self.config = config
        hidden, generated = config.hidden, config.generated_layers
        inputs = [config.position_width, *[hidden] * config.hidden_layers]
        inputs[config.direction_layer] += DIRECTION_WIDTH
        self.params_proj = nn.ModuleList(
            ChannelsProjection(hidden, width, config.latent_width, config.projection_scale)
            for width in inputs[:generated]
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(hidden)) for _ in range(generated))
        outputs = [*[hidden] * config.hidden_layers, OUTPUTS][generated:]
        layers = [nn.Linear(a, b) for a, b in zip(inputs[generated:], outputs, strict=True)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            layers[-1].bias[0] = INITIAL_FIELD
        self.layers = nn.ModuleList(layers)

    def weights(self, latents: Tensor) -> list[Tensor]:
        """Generated weight matrices (B, hidden, inputs) of latents (B, V, W)."""
        parts = latents.split(self.config.hidden, dim=1)
        return [project(part) for project, part in zip(self.params_proj, parts, strict=True)]

    def query(
        self, weights: list[Tensor], positions: Tensor, directions: Tensor | None = None
    ) -> FieldValues:
        """Values at positions.

        Args:
            weights: Of `weights`.
            positions: (B, N, 3) in [-1, 1]^3.
            directions: Unit directions of rays (B, N, 3), or None.
        """
        h = encode(positions, self.config.position_degrees)
        for weight, bias in zip(weights, self.biases, strict=True):
            h = F.silu(torch.baddbmm(bias, h, weight.transpose(1, 2)))
        first = len(weights)
        for index, layer in enumerate(self.layers, first):
            if index == self.config.direction_layer:
                encoded = (
                    torch.zeros(*h.shape[:-1], DIRECTION_WIDTH, dtype=h.dtype, device=h.device)
                    if directions is None
                    else encode(directions, DIRECTION_DEGREES).to(h.dtype)
                )
                h = torch.cat([h, encoded], -1)
            h = layer(h)
            if index < self.config.hidden_layers:
                h = F.silu(h)
        h = h.float()
        density = h[..., 1:3]
        is_relu = self.config.density_activation == "relu"
        colors = torch.sigmoid(h[..., 3:])
        return FieldValues(
            torch.tanh(h[..., 0]),
            colors[..., :3],
            F.relu(density) if is_relu else density.exp(),
            colors[..., 3:].unflatten(-1, (2, 3)),
        )

    def forward(self, latents: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Field (B, N) and surface colours (B, N, 3) of latents (B, V, W) at positions."""
        values = self.query(self.weights(latents), positions)
        return values.field, values.stf_colors
