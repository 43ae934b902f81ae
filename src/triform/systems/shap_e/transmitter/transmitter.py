"""Encoder and decoder together, and their bounded latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.decoder import Decoder
from triform.systems.shap_e.transmitter.encoder import Encoder
from triform.systems.shap_e.transmitter.views import Views

SATURATED = 0.999
"""Size of numbers of a latent whose gradient has vanished in tanh."""


class Transmitter(nn.Module):
    """Encoder of shapes into latents in [-1, 1], and decoder.

    Args:
        config: Settings.
        has_encoder: Whether it can encode; Shap-E's `vector_decoder.pt` cannot.
    """

    def __init__(self, config: TransmitterConfig, *, has_encoder: bool = True):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config) if has_encoder else None
        self.decoder = Decoder(config)

    def encode(
        self, points: Tensor, views: Views | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Latents (B, V, W) in [-1, 1]; arguments are those of `Encoder`."""
        return torch.tanh(self.unbounded(points, views, generators))

    def unbounded(
        self, points: Tensor, views: Views | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Numbers of latents before tanh (B, V, W); arguments are those of `Encoder`."""
        assert self.encoder is not None
        output: Tensor = self.encoder(points, views, generators)
        return output.float()

    def forward(
        self,
        points: Tensor,
        generators: Sequence[torch.Generator],
        positions: Tensor | None = None,
        noise_scale: float = 0.0,
        views: Views | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | Tensor:
        """Encode and decode.

        Noise of this scale is added to the latents that are decoded.

        Returns:
            Latents before tanh (B, V, W) and after it (B, V, W), field (B, N) and colours
            (B, N, 3) at positions; latents after it alone without positions.
        """
        unbounded = self.unbounded(points, views, generators)
        latents = torch.tanh(unbounded)
        if positions is None:
            return latents
        noisy = latents + noise_scale * torch.randn_like(latents) if noise_scale else latents
        return unbounded, latents, *self.decoder(noisy, positions)


def saturation(latents: Tensor) -> Tensor:
    """Share of the numbers of latents beyond `SATURATED` in size."""
    return (latents.abs() > SATURATED).float().mean()
