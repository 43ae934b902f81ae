"""Image, point and text towers into one embedding space. Tensors in, tensors out.

The small image encoder is a residual network (arXiv:1512.03385) for images of about 64 pixels. Its
features are the mean over the image and a map of 4x4 positions, because the layout of the parts
distinguishes two chairs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.config import ModelConfig
from triform.systems.retrieval.encoders.recon import SHAPES, ReCon, ReConShape
from triform.systems.retrieval.verb_config import SMALL

MAP_SIZE, MAP_CHANNELS = 4, 64


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; starts as the identity."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            # Average pooling: a strided 1x1 convolution would drop three pixels of four (ResNet-D).
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class SmallImageEncoder(nn.Module):
    """Images (N, 3, S, S) in [0, 1] to features (N, dim).

    Args:
        width: Channels after the first block; the last has four times as many.
    """

    def __init__(self, width: int):
        super().__init__()
        self.dim = MAP_CHANNELS * MAP_SIZE**2 + 4 * width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            ResidualBlock(width // 2, width, 2),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 2 * width, 1),
            ResidualBlock(2 * width, 4 * width, 2),
        )
        self.map_proj = nn.Conv2d(4 * width, MAP_CHANNELS, 1)
        self.norm = nn.BatchNorm1d(self.dim)
        # channels_last convolutions are twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - 0.5) * 3).contiguous(memory_format=torch.channels_last)
        x = self.blocks(self.stem(x))
        spatial = F.adaptive_avg_pool2d(self.map_proj(x), MAP_SIZE).flatten(1)
        features: Tensor = self.norm(torch.cat([spatial, x.mean((2, 3))], 1))
        return features


class MoEImgHead(nn.Module):
    """Linear experts, weighted by a gate (arXiv:1701.06538; dense: arXiv:1308.4214 section 2).

    Args:
        in_dim: Width of the features.
        out_dim: Width of the embedding space.
        n_experts: Experts.
        top_k: Number of experts used for each image, the largest by the gate; 0 = all (dense).
    """

    def __init__(self, in_dim: int, out_dim: int, n_experts: int = 8, top_k: int = 0):
        super().__init__()
        if not 0 <= top_k <= n_experts:
            raise ValueError(f"top_k {top_k} of {n_experts} experts")
        self.in_dim, self.out_dim, self.top_k = in_dim, out_dim, top_k
        self.experts = nn.ModuleList(nn.Linear(in_dim, out_dim) for _ in range(n_experts))
        self.gate = nn.Sequential(nn.LayerNorm(in_dim), nn.Linear(in_dim, n_experts))

    def forward(self, features: Tensor, normalize: bool = True) -> Tensor:
        """(N, in_dim) to (N, out_dim), of length 1 if `normalize`."""
        return self.with_balance(features, normalize)[0]

    def with_balance(self, features: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
        """Embeddings as in `forward`, and the load-balancing loss of the experts.

        The loss is E * sum_e share_e * probability_e (arXiv:2101.03961 equation 4): 1 where all
        experts are used equally, E where one is used alone.
        """
        logits = self.gate(features).float()
        probs = logits.softmax(-1)
        weights = probs
        if self.top_k:
            top = logits.topk(self.top_k, dim=-1).indices
            mask = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
            weights = logits.masked_fill(~mask, -torch.inf).softmax(-1)
            share = mask.float().mean(0) / self.top_k
        else:
            share = probs.mean(0)
        balance = len(self.experts) * (share * probs.mean(0)).sum()
        # One multiplication for all experts instead of eight.
        experts = [expert for expert in self.experts if isinstance(expert, nn.Linear)]
        weight = torch.cat([expert.weight for expert in experts])
        bias = torch.cat([expert.bias for expert in experts])
        outputs = F.linear(features, weight, bias).reshape(len(features), len(experts), -1)
        mixed = (weights.to(outputs.dtype)[..., None] * outputs).sum(1)
        return (F.normalize(mixed.float(), dim=-1) if normalize else mixed), balance


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


def composite_on_white(rgba: Tensor) -> Tensor:
    """Composite (N, 4, S, S) uint8 on white: (N, 3, S, S) float32 in [0, 1]."""
    values = premultiplied(rgba)
    return values[:, :3] + 1 - values[:, 3:]


def premultiplied(rgba: Tensor) -> Tensor:
    """(N, 4, S, S) uint8 to float32 in [0, 1], colours multiplied by alpha."""
    values = rgba.float() / 255
    return torch.cat([values[:, :3] * values[:, 3:], values[:, 3:]], 1)
