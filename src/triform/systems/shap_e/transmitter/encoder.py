"""Encoder of coloured points and posed views into a latent: a perceiver (arXiv:2305.02463)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.geometry.sampling.farthest import farthest_point_sample
from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.attention import Perceiver, Transformer
from triform.systems.shap_e.transmitter.encodings import encode
from triform.systems.shap_e.transmitter.point_conv import PointConv
from triform.systems.shap_e.transmitter.views import Views, ViewTokens

POINT_CHANNELS = 6
MAX_CANDIDATES = 32768
"""Points among which those of the tokens are selected, at most."""


class PointProjection(nn.Linear):
    """Linear layer over points, encoded or as they are."""

    def __init__(self, width: int, degrees: int):
        super().__init__(POINT_CHANNELS * (1 + 2 * degrees), width)
        self.degrees = degrees

    def forward(self, x: Tensor) -> Tensor:
        """Points (B, N, 6) to (B, N, W)."""
        if self.degrees:
            # Each channel by itself, as in Shap-E: [x, sin, cos] of all channels.
            x = encode(x, self.degrees)
        return super().forward(x)


class Encoder(nn.Module):
    """Coloured points, and views where the settings say so, to vectors before tanh.

    All random choices come from one generator per shape, so that a latent depends on its shape and
    seed alone, and not on the batch.
    """

    def __init__(self, config: TransmitterConfig):
        super().__init__()
        self.config = config
        width, heads = config.encoder_width, config.encoder_heads
        self.input_proj = PointProjection(
            width, config.position_degrees if config.position_encoding else 0
        )
        if config.use_point_conv:
            self.point_conv = PointConv(config)
        count = 1
        if config.encoder_input == "points_and_views":
            self.view_tokens = ViewTokens(config)
            count = 2
        self.encoder = nn.ModuleList(
            Perceiver(width, config.cross_layers, heads) for _ in range(count)
        )
        self.processor = Transformer(width, config.encoder_layers - config.cross_layers, heads)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.output_tokens = nn.Parameter(torch.randn(config.latent_vectors, width))
        self.output_proj = nn.Linear(width, config.latent_width)

    def forward(
        self, points: Tensor, views: Views | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Encode shapes.

        Args:
            points: (B, N, 6): position in [-1, 1]^3 and sRGB in [0, 1].
            views: Posed views with depth, or None where the encoder has only points.
            generators: Random numbers of each of the B shapes.

        Returns:
            Vectors (B, V, W), not yet bounded.

        Raises:
            UserError: Fewer points or views than the encoder attends to at a time.
        """
        config = self.config
        self._check(points, views)
        features = self.input_proj(points)
        if config.use_point_conv:
            tokens = self.point_conv(points[..., :3], features, generators)
        else:
            tokens = self.input_proj(self._select(points, generators))
        latents = self.output_tokens.expand(len(points), -1, -1)
        h = self.ln_pre(torch.cat([tokens, latents], 1))
        sources = [_batches(features, config.inner_points, generators)]
        if views is not None and config.encoder_input == "points_and_views":
            embedded = self.view_tokens(views)
            sources.append(_batches(embedded, config.inner_views, generators))
        for _ in range(config.unrolls):
            for perceiver, source in zip(self.encoder, sources, strict=True):
                h = perceiver(h, next(source).flatten(1, -2))
            h = self.processor(h)
        output: Tensor = self.output_proj(self.ln_post(h[:, -config.latent_vectors :]))
        return output

    def _check(self, points: Tensor, views: Views | None) -> None:
        config = self.config
        least = max(config.inner_points, config.data_tokens)
        if points.shape[1] < least:
            raise UserError(
                f"shap_e: point clouds of {points.shape[1]} points, the encoder needs {least}; "
                "`triform shapes prepare` makes more (--points)"
            )
        if config.encoder_input == "points":
            return
        count = 0 if views is None else views.colors.shape[1]
        if count < config.inner_views:
            raise UserError(
                f"shap_e: {count} views with depth and camera, the encoder needs "
                f"{config.inner_views}; `triform shapes prepare` makes them (--views)"
            )

    def _select(self, points: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Points of the tokens (B, T, 6)."""
        count = self.config.data_tokens
        if self.config.fps_method == "first" or points.shape[1] == count:
            return points[:, :count]
        rows = []
        for shape, generator in zip(points, generators, strict=True):
            if len(shape) > MAX_CANDIDATES:
                order = torch.randperm(len(shape), generator=generator)
                shape = shape[order[:MAX_CANDIDATES].to(shape.device)]
            xyz = shape[:, :3].detach().cpu().double().numpy()
            rows.append(shape[torch.from_numpy(np.asarray(farthest_point_sample(xyz, count)))])
        return torch.stack(rows)


def _batches(data: Tensor, size: int, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """Iterate forever over batches (B, size, ...) of data (B, N, ...) in random orders."""
    rows = torch.arange(len(data), device=data.device)[:, None]
    while True:
        orders = torch.stack(
            [torch.randperm(data.shape[1], generator=generator) for generator in generators]
        ).to(data.device)
        data = data[rows, orders]  # shuffled again and again, as Shap-E does
        for start in range(0, data.shape[1] - size + 1, size):
            yield data[:, start : start + size]
