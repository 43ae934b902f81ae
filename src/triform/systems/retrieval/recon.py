"""ReCon++, the point-cloud encoder of ShapeLLM (arXiv:2402.17766 section 3, arXiv:2302.02318).

Written from the papers, with the module names and tensor shapes of the published weights, so that
those load (`recon_weights.py`). What only its pre-training needs, the decoder that rebuilds hidden
groups, is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.systems.retrieval.grouping import group_points


@dataclass(frozen=True)
class ReConShape:
    """Sizes of the network.

    Attributes:
        embed_dim: Width of a token.
        depth: Layers.
        num_heads: Heads of attention; they divide the width.
        layer_scale: First value of the learned scale of each branch; 0 = no scale.
        mlp_ratio: Width of the MLP over that of a token.
        num_group: Groups a cloud is cut into.
        group_size: Points of a group.
        img_queries: Global tokens that learn what pictures show.
        text_queries: Global tokens that learn what texts say.
        out_dim: Width of the common space.
        with_color: Whether points carry colours.
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
"""`small`, `base` and `large` are the published ones; `tiny` is for a processor."""


class PatchEmbedding(nn.Module):
    """A group of points becomes one token: a small PointNet with two pools (arXiv:1612.00593)."""

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
        each = self.first_conv(points)
        pooled = each.amax(2, keepdim=True).expand(-1, -1, group_size)
        each = self.second_conv(torch.cat([pooled, each], 1))
        return each.amax(2).view(batch, num_group, -1)


class SelfAttention(nn.Module):
    """Multi-head self-attention (arXiv:1706.03762)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = _heads(self.qkv(x), self.num_heads, 3)
        return self.proj(_merge(F.scaled_dot_product_attention(query, key, value)))


class CrossAttention(nn.Module):
    """Queries look at other tokens."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, others: Tensor) -> Tensor:
        (query,) = _heads(self.q(x), self.num_heads, 1)
        key, value = _heads(self.kv(others), self.num_heads, 2)
        return self.proj(_merge(F.scaled_dot_product_attention(query, key, value)))


class FeedForward(nn.Module):
    """Two layers, one token at a time."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor for each channel of a branch (arXiv:2103.17239)."""

    def __init__(self, dim: int, value: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DropPath(nn.Module):
    """Leaves a whole branch out for some samples of a batch (arXiv:1603.09382)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added after.

    With `crossing` the attention is from the tokens of `x` to those of `others`.
    """

    def __init__(self, shape: ReConShape, drop_path: float, *, crossing: bool, stop_grad: bool):
        super().__init__()
        dim = shape.embed_dim
        self.crossing, self.stop_grad = crossing, stop_grad
        self.norm1 = nn.LayerNorm(dim)
        attention = CrossAttention if crossing else SelfAttention
        self.attn = attention(dim, shape.num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * shape.mlp_ratio))
        scale = shape.layer_scale
        self.ls1 = LayerScale(dim, scale) if scale else nn.Identity()
        self.ls2 = LayerScale(dim, scale) if scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, others: Tensor | None = None) -> Tensor:
        if self.crossing:
            assert others is not None
            others = self.norm1(others.detach() if self.stop_grad else others)
            mixed = self.attn(self.norm1(x), others)
        else:
            mixed = self.attn(self.norm1(x))
        x = x + self.drop_path(self.ls1(mixed))
        return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))


class Blocks(nn.Module):
    """Layer by layer: groups look at each other, then the global tokens look at the groups."""

    def __init__(self, shape: ReConShape, drop_path_rate: float, stop_grad: bool):
        super().__init__()
        rates = [drop_path_rate * n / max(1, shape.depth - 1) for n in range(shape.depth)]
        self.local_blocks = nn.ModuleList(
            Block(shape, rate, crossing=False, stop_grad=stop_grad) for rate in rates
        )
        self.global_blocks = nn.ModuleList(
            Block(shape, rate, crossing=True, stop_grad=stop_grad) for rate in rates
        )

    def forward(self, x: Tensor, pos: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        for local, glob in zip(self.local_blocks, self.global_blocks, strict=True):
            x = local(x + pos)  # positions are added at every layer
            query = glob(query, x)
        return x, query


class Extractor(nn.Module):
    """The layers and the two last norms."""

    def __init__(self, shape: ReConShape, drop_path_rate: float, stop_grad: bool):
        super().__init__()
        self.blocks = Blocks(shape, drop_path_rate, stop_grad)
        self.ln_f1 = nn.LayerNorm(shape.embed_dim)
        self.ln_f2 = nn.LayerNorm(shape.embed_dim)

    def forward(self, x: Tensor, pos: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        x, query = self.blocks(x, pos, query)
        return self.ln_f1(x), self.ln_f2(query)


class Tokens(nn.Module):
    """A cloud to its local tokens (B, G, D) and global tokens (B, Q, D)."""

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

    def forward(self, cloud: Tensor, num_visible: int) -> tuple[Tensor, Tensor]:
        groups, positions = group_points(
            cloud, self.shape.num_group, self.shape.group_size, num_visible
        )
        tokens = self.embed(groups)
        query = self.global_query.expand(len(cloud), -1, -1)
        return self.encoder(tokens, self.pos_embed(positions), query)


class ReCon(nn.Module):
    """Point clouds to unit vectors of the common space.

    An embedding is the mean of the image tokens plus `text_ratio` times the mean of the text
    tokens, each of them projected and of length 1.

    Args:
        shape: Sizes of the network.
        drop_path_rate: Share of branches left out in training, growing with depth up to this.
        mask_ratio: Share of the groups hidden in training; never in evaluation mode.
        stop_grad: Whether the global tokens leave the groups' layers alone.
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
        # Equal queries would stay equal for ever: sixteen tokens would learn one thing.
        nn.init.trunc_normal_(self.model.global_query, std=0.02)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.shape.out_dim

    def tokens(self, points: Tensor, colors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What a second stage builds on.

        Args:
            points: (B, N, 3) in the unit sphere.
            colors: (B, N, 3) in [0, 1]; None where the network was made without.

        Returns:
            Local tokens (B, G, D), one for each group, and global tokens (B, Q, D).
        """
        shape = self.shape
        if shape.with_color:
            if colors is None:
                colors = torch.full_like(points, NO_COLOR)
            points = torch.cat([points, colors], -1)
        hidden = int(self.mask_ratio * shape.num_group) if self.training else 0
        return self.model(points, shape.num_group - hidden if hidden else 0)

    def forward(self, points: Tensor, colors: Tensor | None = None) -> Tensor:
        """Embeddings (B, out_dim) of length 1; arguments as in `tokens`."""
        _, tokens = self.tokens(points, colors)
        img, text = tokens.split([self.shape.img_queries, self.shape.text_queries], 1)
        seen = F.normalize(self.img_proj(img).float(), dim=-1).mean(1)
        if self.shape.text_queries:
            said = F.normalize(self.text_proj(text).float(), dim=-1).mean(1)
            seen = seen + self.text_ratio * said
        return F.normalize(seen, dim=-1)


NO_COLOR = 0.4
"""What stands for the colour of a point that has none, as in the published weights' training."""


def _heads(x: Tensor, num_heads: int, parts: int) -> tuple[Tensor, ...]:
    """(B, T, parts * D) to `parts` times (B, H, T, D / H)."""
    return x.unflatten(-1, (parts, num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def _merge(x: Tensor) -> Tensor:
    """(B, H, T, D / H) to (B, T, D)."""
    return x.transpose(1, 2).flatten(-2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
