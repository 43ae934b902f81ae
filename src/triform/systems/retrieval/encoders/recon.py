"""ReCon++, the point-cloud encoder of ShapeLLM (arXiv:2402.17766 section 3, arXiv:2302.02318).

Written from the papers, with the module names and tensor shapes of the published weights, so that
those load (`recon_weights.py`). The decoder, which only pre-training uses, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.encoders.grouping import group_points


@dataclass(frozen=True)
class ReConShape:
    """Sizes of the network.

    Attributes:
        embed_dim: Width of a token.
        depth: Layers.
        num_heads: Attention heads; the width is a multiple of them.
        layer_scale: Initial value of LayerScale; 0 = none.
        mlp_ratio: Hidden width of the MLP over the width of a token.
        num_group: Groups of points.
        group_size: Points in a group.
        img_queries: Global tokens aligned with images.
        text_queries: Global tokens aligned with texts.
        out_dim: Width of the embedding space.
        with_color: Whether points have colours.
        patch_widths: Of the patch embedding: first layer, first pool, second layer.
    """

    embed_dim: int = 192
    depth: int = 4
    num_heads: int = 3
    layer_scale: float = 0.0
    mlp_ratio: float = 4.0
    num_group: int = 64
    group_size: int = 32
    img_queries: int = 13
    text_queries: int = 3
    out_dim: int = 256
    with_color: bool = True
    patch_widths: tuple[int, int, int] = (128, 256, 512)


SHAPES: dict[str, ReConShape] = {
    "tiny": ReConShape(embed_dim=192, depth=4, num_heads=3),
    "small": ReConShape(384, 12, 6, layer_scale=1e-5, num_group=512, out_dim=1280),
    "base": ReConShape(768, 12, 12, num_group=512, out_dim=1280),
    "large": ReConShape(1024, 24, 16, num_group=512, out_dim=1280),
}
"""`small`, `base` and `large` are the published ones; `tiny` is for a CPU."""


class PatchEmbedding(nn.Module):
    """Groups of points to tokens: a small PointNet with two max pools (arXiv:1612.00593)."""

    def __init__(self, embed_dim: int, in_channels: int, widths: tuple[int, int, int]):
        super().__init__()
        first, pooled, second = widths
        self.first_conv = nn.Sequential(
            nn.Conv1d(in_channels, first, 1),
            nn.BatchNorm1d(first),
            nn.ReLU(),
            nn.Conv1d(first, pooled, 1),
        )
        self.second_conv = nn.Sequential(
            nn.Conv1d(2 * pooled, second, 1),
            nn.BatchNorm1d(second),
            nn.ReLU(),
            nn.Conv1d(second, embed_dim, 1),
        )

    def forward(self, groups: Tensor) -> Tensor:
        """(B, G, M, C) to (B, G, D)."""
        batch, num_group, group_size, _ = groups.shape
        points = groups.flatten(0, 1).transpose(1, 2)
        features = self.first_conv(points)
        pooled = features.amax(2, keepdim=True).expand(-1, -1, group_size)
        features = self.second_conv(torch.cat([pooled, features], 1))
        tokens: Tensor = features.amax(2).view(batch, num_group, -1)
        return tokens


class SelfAttention(nn.Module):
    """Multi-head self-attention (arXiv:1706.03762)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = _heads(self.qkv(x), self.num_heads, 3)
        output: Tensor = self.proj(_merge(F.scaled_dot_product_attention(query, key, value)))
        return output


class CrossAttention(nn.Module):
    """Multi-head cross-attention: queries attend to other tokens."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        (query,) = _heads(self.q(x), self.num_heads, 1)
        key, value = _heads(self.kv(context), self.num_heads, 2)
        output: Tensor = self.proj(_merge(F.scaled_dot_product_attention(query, key, value)))
        return output


class FeedForward(nn.Module):
    """Two-layer MLP, applied to each token."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return output


class LayerScale(nn.Module):
    """Learned scale of each channel of a residual branch (arXiv:2103.17239)."""

    def __init__(self, dim: int, value: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DropPath(nn.Module):
    """Stochastic depth (arXiv:1603.09382): drops a residual branch for some samples of a batch."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        mask = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * mask / (1 - self.rate)


class Block(nn.Module):
    """Pre-norm transformer block.

    With `cross_attention` the tokens of `x` attend to those of `context`, else to each other.
    """

    def __init__(
        self, shape: ReConShape, drop_path: float, *, cross_attention: bool, stop_grad: bool
    ):
        super().__init__()
        dim = shape.embed_dim
        self.cross_attention, self.stop_grad = cross_attention, stop_grad
        self.norm1 = nn.LayerNorm(dim)
        attention = CrossAttention if cross_attention else SelfAttention
        self.attn = attention(dim, shape.num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * shape.mlp_ratio))
        scale = shape.layer_scale
        self.ls1 = LayerScale(dim, scale) if scale else nn.Identity()
        self.ls2 = LayerScale(dim, scale) if scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if self.cross_attention:
            assert context is not None
            context = self.norm1(context.detach() if self.stop_grad else context)
            attended = self.attn(self.norm1(x), context)
        else:
            attended = self.attn(self.norm1(x))
        x = x + self.drop_path(self.ls1(attended))
        x = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return x


class Blocks(nn.Module):
    """Layers of self-attention among groups and cross-attention from global tokens to groups."""

    def __init__(self, shape: ReConShape, drop_path_rate: float, stop_grad: bool):
        super().__init__()
        rates = [drop_path_rate * n / max(1, shape.depth - 1) for n in range(shape.depth)]
        self.local_blocks = nn.ModuleList(
            Block(shape, rate, cross_attention=False, stop_grad=stop_grad) for rate in rates
        )
        self.global_blocks = nn.ModuleList(
            Block(shape, rate, cross_attention=True, stop_grad=stop_grad) for rate in rates
        )

    def forward(self, x: Tensor, pos: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        for local, glob in zip(self.local_blocks, self.global_blocks, strict=True):
            x = local(x + pos)  # positions are added at every layer
            query = glob(query, x)
        return x, query


class Extractor(nn.Module):
    """The layers and the norms of local and global tokens."""

    def __init__(self, shape: ReConShape, drop_path_rate: float, stop_grad: bool):
        super().__init__()
        self.blocks = Blocks(shape, drop_path_rate, stop_grad)
        self.ln_f1 = nn.LayerNorm(shape.embed_dim)
        self.ln_f2 = nn.LayerNorm(shape.embed_dim)

    def forward(self, x: Tensor, pos: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        x, query = self.blocks(x, pos, query)
        return self.ln_f1(x), self.ln_f2(query)


class Tokens(nn.Module):
    """Points to local tokens (B, G, D) and global tokens (B, Q, D)."""

    def __init__(self, shape: ReConShape, drop_path_rate: float, stop_grad: bool):
        super().__init__()
        self.shape = shape
        self.embed = PatchEmbedding(
            shape.embed_dim, 6 if shape.with_color else 3, shape.patch_widths
        )
        self.encoder = Extractor(shape, drop_path_rate, stop_grad)
        self.pos_embed = nn.Sequential(
            nn.Linear(3, 128), nn.GELU(), nn.Linear(128, shape.embed_dim)
        )
        queries = shape.img_queries + shape.text_queries
        self.global_query = nn.Parameter(torch.zeros(1, queries, shape.embed_dim))

    def forward(self, points: Tensor, num_visible: int) -> tuple[Tensor, Tensor]:
        groups, positions = group_points(
            points, self.shape.num_group, self.shape.group_size, num_visible
        )
        tokens = self.embed(groups)
        query = self.global_query.expand(len(points), -1, -1)
        local, globals_ = self.encoder(tokens, self.pos_embed(positions), query)
        return local, globals_


class ReCon(nn.Module):
    """Point clouds to embeddings of length 1.

    An embedding is the mean of the image tokens plus `text_ratio` times the mean of the text
    tokens, each of them projected and of length 1.

    Args:
        shape: Sizes of the network.
        drop_path_rate: Stochastic depth rate of the last layer; it grows linearly with depth.
        mask_ratio: Share of the groups that are masked in training.
        stop_grad: Whether gradients of the global tokens stop before the local tokens.
        text_ratio: Weight of the text tokens in an embedding.
    """

    def __init__(
        self,
        shape: ReConShape,
        *,
        drop_path_rate: float = 0.0,
        mask_ratio: float = 0.0,
        stop_grad: bool = False,
        text_ratio: float = 0.3,
    ):
        super().__init__()
        self.shape, self.mask_ratio, self.text_ratio = shape, mask_ratio, text_ratio
        self.model = Tokens(shape, drop_path_rate, stop_grad)
        self.img_proj = nn.Linear(shape.embed_dim, shape.out_dim)
        self.text_proj = nn.Linear(shape.embed_dim, shape.out_dim)
        self.apply(_initialise)
        # Equal queries would get equal gradients and stay equal.
        nn.init.trunc_normal_(self.model.global_query, std=0.02)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.shape.out_dim

    def tokens(self, points: Tensor, colors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens, on which a second stage is trained.

        Args:
            points: (B, N, 3) in the unit sphere.
            colors: (B, N, 3) in [0, 1]; None for a network without colours.

        Returns:
            Local tokens (B, G, D), one for each group, and global tokens (B, Q, D).
        """
        shape = self.shape
        if shape.with_color:
            if colors is None:
                colors = torch.full_like(points, NO_COLOR)
            points = torch.cat([points, colors], -1)
        masked = int(self.mask_ratio * shape.num_group) if self.training else 0
        local, globals_ = self.model(points, shape.num_group - masked if masked else 0)
        return local, globals_

    def forward(self, points: Tensor, colors: Tensor | None = None) -> Tensor:
        """Embeddings (B, out_dim) of length 1; arguments as in `tokens`."""
        _, tokens = self.tokens(points, colors)
        img, text = tokens.tensor_split([self.shape.img_queries], 1)
        embedding = F.normalize(self.img_proj(img).float(), dim=-1).mean(1)
        if self.shape.text_queries:
            text_embedding = F.normalize(self.text_proj(text).float(), dim=-1).mean(1)
            embedding = embedding + self.text_ratio * text_embedding
        return F.normalize(embedding, dim=-1)


NO_COLOR = 0.4
"""Colour of points that have none, as in the training of the published weights."""


def _heads(x: Tensor, num_heads: int, parts: int) -> tuple[Tensor, ...]:
    """(B, T, parts * D) to `parts` times (B, H, T, D / H)."""
    return x.view(*x.shape[:-1], parts, num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _merge(x: Tensor) -> Tensor:
    """(B, H, T, D / H) to (B, T, D)."""
    return x.transpose(1, 2).flatten(-2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
