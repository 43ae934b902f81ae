"""U-Net of a noisy image, conditioned on the time step and optionally on a class.

Ho et al., arXiv:2006.11239, appendix B; scale and shift by the time embedding as in
arXiv:2102.09672. Patches of 2 x 2 pixels become channels, which quarters the work of the highest
level.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.image_spec import ImageSpec
from triform.systems.diffusion.config import ModelConfig

NUM_GROUPS = 8
HEAD_DIM = 32
MAX_EXPLICIT_ATTENTION = 256
"""Up to so many positions the attention matrix is computed explicitly on CPUs: torch's fused kernel
takes 6 times as long to train in bf16 there. Beyond, the matrix would not fit."""


class UNet(nn.Module):
    """From x_t (B, C, H, W) to a prediction of the same shape.

    Args:
        config: Sizes.
        spec: Shape of the images, and the classes that the network is conditioned on.
    """

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.patch, self.num_classes = config.patch, len(spec.classes)
        widths = [config.width * factor for factor in config.multipliers]
        self.width, embedding_dim = config.width, 4 * config.width
        patch_channels = spec.channels * config.patch**2
        self.time_embedding = nn.Sequential(
            nn.Linear(config.width, embedding_dim),
            nn.SiLU(),
            nn.Linear(embedding_dim, embedding_dim),
        )
        # The last row is the unconditional class.
        self.class_embedding = (
            nn.Embedding(self.num_classes + 1, embedding_dim) if self.num_classes else None
        )
        self.conv_in = nn.Conv2d(patch_channels, widths[0], 3, padding=1)

        def block(inputs: int, outputs: int, level: int) -> ResidualBlock:
            attention = level in config.attention_levels
            return ResidualBlock(
                inputs, outputs, embedding_dim, config.dropout, attention=attention
            )

        skips = [widths[0]]
        self.down_blocks = nn.ModuleList()  # of lists of blocks, one for each level
        self.downsamplers = nn.ModuleList()
        width = widths[0]
        for level, wide in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(config.blocks):
                blocks.append(block(width, wide, level))
                width = wide
                skips.append(width)
            self.down_blocks.append(blocks)
            if level + 1 < len(widths):
                self.downsamplers.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        last = len(widths) - 1
        self.mid_blocks = nn.ModuleList([block(width, width, last), block(width, width, last)])
        self.up_blocks = nn.ModuleList()
        self.upsamplers = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(config.blocks + 1):
                blocks.append(block(width + skips.pop(), wide, level))
                width = wide
            self.up_blocks.append(blocks)
            if level:
                self.upsamplers.append(nn.Conv2d(width, width, 3, padding=1))
        self.out = nn.Sequential(
            GroupNorm32(width),
            nn.SiLU(),
            _zero_init(nn.Conv2d(width, patch_channels, 3, padding=1)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Prediction (B, C, H, W).

        Args:
            x: Noisy images (B, C, H, W).
            t: Time steps (B,).
            labels: Classes (B,); `num_classes` is the unconditional class, as is None.
        """
        height, width = x.shape[-2:]
        padding = (-width % self.patch, -height % self.patch)
        h = F.pad(x, (0, padding[0], 0, padding[1])) if any(padding) else x
        h = F.pixel_unshuffle(h, self.patch).contiguous(memory_format=torch.channels_last)
        embedding = self.time_embedding(timestep_embedding(t, self.width).to(x.dtype))
        if self.class_embedding is not None:
            unconditional = torch.full_like(t, self.num_classes)
            embedding = embedding + self.class_embedding(
                unconditional if labels is None else labels
            )
        embedding = F.silu(embedding)
        h = self.conv_in(h)
        skips = [h]
        for level, blocks in enumerate(self.down_blocks):
            for block in _blocks(blocks):
                h = block(h, embedding)
                skips.append(h)
            if level < len(self.downsamplers):
                h = self.downsamplers[level](h)
                skips.append(h)
        for block in self.mid_blocks:
            h = block(h, embedding)
        for level, blocks in enumerate(self.up_blocks):
            for block in _blocks(blocks):
                h = block(torch.cat([h, skips.pop()], 1), embedding)
            if level < len(self.upsamplers):
                # To the size of the skip: odd sizes are rounded up on the way down.
                h = self.upsamplers[level](F.interpolate(h, skips[-1].shape[-2:], mode="nearest"))
        return F.pixel_shuffle(self.out(h), self.patch)[..., :height, :width]


class ResidualBlock(nn.Module):
    """Residual block with scale and shift by the embedding, and optional self-attention."""

    def __init__(
        self, inputs: int, outputs: int, embedding_dim: int, dropout: float, *, attention: bool
    ):
        super().__init__()
        self.in_layers = nn.Sequential(
            GroupNorm32(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.time_proj = nn.Linear(embedding_dim, 2 * outputs)
        self.norm = GroupNorm32(outputs)
        self.out_layers = nn.Sequential(
            nn.SiLU(), nn.Dropout(dropout), _zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = SelfAttention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.time_proj(embedding)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm(self.in_layers(x)), 1 + scale)
        output: Tensor = self.attention(self.shortcut(x) + self.out_layers(h))
        return output


class SelfAttention(nn.Module):
    """Residual multi-head self-attention over all positions."""

    def __init__(self, width: int):
        super().__init__()
        self.num_heads = max(1, width // HEAD_DIM)
        self.norm = GroupNorm32(width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = _zero_init(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x))
        qkv = qkv.reshape(batch, 3, self.num_heads, channels // self.num_heads, -1)
        query, key, value = (part.transpose(-1, -2) for part in qkv.unbind(1))
        h = attention(query, key, value).transpose(-1, -2)
        output: Tensor = x + self.proj(h.reshape(batch, channels, height, width))
        return output


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention; all (B, heads, positions, head_dim)."""
    positions, head_dim = query.shape[-2:]
    if query.device.type != "cpu" or positions > MAX_EXPLICIT_ATTENTION:
        return F.scaled_dot_product_attention(query, key, value)
    output: Tensor = ((query * head_dim**-0.5) @ key.transpose(-1, -2)).softmax(-1) @ value
    return output


class GroupNorm32(nn.GroupNorm):
    """Group norm in float32 always: exact, and on CPUs 4 times faster than in bf16."""

    def __init__(self, width: int):
        super().__init__(math.gcd(NUM_GROUPS, width), width)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def timestep_embedding(t: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding (B, width) of steps (B,) (arXiv:1706.03762, section 3.5)."""
    half = width // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], 1)
    return F.pad(embedding, (0, width - 2 * half))


def _blocks(level: nn.Module) -> Iterable[nn.Module]:
    assert isinstance(level, nn.ModuleList)
    return level


def _zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Zero weights, so that a residual block is the identity at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
