"""Image, point and text towers into one embedding space. Tensors in, tensors out."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.config import SMALL, ModelConfig
from triform.systems.retrieval.encoders.image_encoder import MoEImgHead, SmallImageEncoder
from triform.systems.retrieval.encoders.recon import SHAPES, ReCon, ReConShape


class LinearHead(nn.Module):
    """Features (N, F) to unit vectors (N, D) by one layer."""

    def __init__(self, in_dim: int, out_dim: int):
        super().__init__()
        self.in_dim, self.out_dim = in_dim, out_dim
        self.linear = nn.Linear(in_dim, out_dim)

    def with_balance(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings, and a balance loss of 1: there is one expert."""
        embeddings = F.normalize(self.linear(features).float(), dim=-1)
        return embeddings, embeddings.new_ones(())


class ImageTower(nn.Module):
    """Images, or features of a frozen encoder, to unit vectors.

    Args:
        encoder: Images (N, 3, S, S) to features (N, F); None where features come in.
        head: Features to embeddings.
    """

    def __init__(self, encoder: nn.Module | None, head: MoEImgHead | LinearHead):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) RGB in [0, 1], or features (N, F, 1, 1).

        Returns:
            Embeddings (N, D) of length 1, and the load-balancing loss of the experts (a scalar).
        """
        features = images.flatten(1) if self.encoder is None else self.encoder(images)
        return self.head.with_balance(features)


class TextTower(nn.Module):
    """Sentence embeddings (N, T) of a frozen encoder to unit vectors (N, D)."""

    def __init__(self, in_dim: int, hidden: int, out_dim: int):
        super().__init__()
        self.in_dim = in_dim
        self.layers = nn.Sequential(
            nn.LayerNorm(in_dim), nn.Linear(in_dim, hidden), nn.GELU(), nn.Linear(hidden, out_dim)
        )

    def forward(self, texts: Tensor) -> Tensor:
        return F.normalize(self.layers(texts).float(), dim=-1)


def build_image_tower(model: ModelConfig, feature_dim: int = 0) -> ImageTower:
    """Build the image tower; `feature_dim` is the width of a frozen encoder's features."""
    encoder = SmallImageEncoder(model.image_width) if model.image_encoder == SMALL else None
    in_dim = encoder.dim if encoder is not None else feature_dim
    if model.image_head == "moe":
        return ImageTower(
            encoder, MoEImgHead(in_dim, model.emb_dim, model.n_experts, model.moe_top_k)
        )
    return ImageTower(encoder, LinearHead(in_dim, model.emb_dim))


def point_shape(model: ModelConfig) -> ReConShape:
    """Sizes of the point encoder that the settings ask for."""
    shape = SHAPES[model.point_encoder]
    width = model.point_width or shape.embed_dim
    heads = model.point_heads or (width // 64 if model.point_width else shape.num_heads)
    return replace(
        shape,
        embed_dim=width,
        depth=model.point_depth or shape.depth,
        num_heads=max(1, heads),
        layer_scale=shape.layer_scale if model.layer_scale < 0 else model.layer_scale,
        num_group=model.num_group,
        group_size=model.group_size,
        img_queries=model.img_queries,
        text_queries=model.text_queries,
        out_dim=model.emb_dim,
        with_color=model.with_color,
        patch_widths=model.patch_widths,
    )


def build_point_encoder(model: ModelConfig) -> ReCon:
    """Build the point encoder; parameters that no embedding depends on are frozen."""
    encoder = ReCon(
        point_shape(model),
        drop_path_rate=model.drop_path_rate,
        mask_ratio=model.mask_ratio,
        stop_grad=model.stop_grad,
        text_ratio=model.text_ratio,
    )
    # Local tokens are for a second stage; embeddings use the global ones.
    encoder.model.encoder.ln_f1.requires_grad_(False)
    if not model.text_queries:
        encoder.text_proj.requires_grad_(False)
    return encoder


def build_text_tower(model: ModelConfig, in_dim: int) -> TextTower:
    """Build the text tower."""
    return TextTower(in_dim, model.text_hidden, model.emb_dim)


def unit_sphere(points: Tensor) -> Tensor:
    """Points (..., N, 3) centred at their mean, the farthest at distance 1."""
    points = points - points.mean(-2, keepdim=True)
    radius = points.square().sum(-1).amax(-1).sqrt()
    return points / torch.where(radius > 1e-6, radius, 1.0)[..., None, None]
