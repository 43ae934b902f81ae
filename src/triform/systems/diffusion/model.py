"""A U-Net that looks at a noisy picture, the amount of noise, and perhaps a class.

Ho et al., arXiv:2006.11239, appendix B; scale and shift by time as in arXiv:2102.09672. A picture's
pixels are taken in patches of 2 x 2 at once, which quarters the work of the highest level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.picture_facts import PictureFacts, class_names, picture_shape
from triform.systems.diffusion.config import ModelConfig

GROUPS = 8
WRITTEN_OUT = 256
"""Up to so many places attention is written out on processors: torch's fused way takes 6 times as
long to learn in bf16 there. Beyond, the table of all pairs would not fit."""


class UNet(nn.Module):
    """From x_t (B, C, H, W) to something of the same shape.

    Args:
        config: sizes.
        facts: of the pictures; its classes are those that the network can be told.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        self.facts = facts
        channels, _ = picture_shape(facts)
        num_classes = len(class_names(facts))
        self.patch, self.num_classes = config.patch, num_classes
        widths = [config.width * factor for factor in config.multipliers]
        self.width, context = config.width, 4 * config.width
        inner = channels * config.patch**2
        self.time = nn.Sequential(
            nn.Linear(config.width, context), nn.SiLU(), nn.Linear(context, context)
        )
        # The last row stands for "any class".
        self.label = nn.Embedding(num_classes + 1, context) if num_classes else None
        self.enter = nn.Conv2d(inner, widths[0], 3, padding=1)

        def block(inputs: int, outputs: int, level: int) -> Block:
            looks = level in config.attention_levels
            return Block(inputs, outputs, context, config.dropout, attention=looks)

        skips = [widths[0]]
        self.down = nn.ModuleList()  # of lists of blocks, one for each level
        self.shrink = nn.ModuleList()
        width = widths[0]
        for level, wide in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(config.blocks):
                blocks.append(block(width, wide, level))
                width = wide
                skips.append(width)
            self.down.append(blocks)
            if level + 1 < len(widths):
                self.shrink.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        last = len(widths) - 1
        self.middle = nn.ModuleList([block(width, width, last), block(width, width, last)])
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(config.blocks + 1):
                blocks.append(block(width + skips.pop(), wide, level))
                width = wide
            self.up.append(blocks)
            if level:
                self.grow.append(nn.Conv2d(width, width, 3, padding=1))
        self.leave = nn.Sequential(
            Norm(width),
            nn.SiLU(),
            _zeroed(nn.Conv2d(width, inner, 3, padding=1)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """One look.

        Args:
            x: (B, C, H, W).
            t: (B,) steps.
            labels: (B,) classes; `num_classes` is any class, as is None.
        """
        height, width = x.shape[-2:]
        rest = (-width % self.patch, -height % self.patch)
        h = F.pad(x, (0, rest[0], 0, rest[1])) if any(rest) else x
        h = F.pixel_unshuffle(h, self.patch).contiguous(memory_format=torch.channels_last)
        context = self.time(sinusoids(t, self.width).to(x.dtype))
        if self.label is not None:
            any_class = torch.full_like(t, self.num_classes)
            context = context + self.label(any_class if labels is None else labels)
        context = F.silu(context)
        h = self.enter(h)
        seen = [h]
        for level, blocks in enumerate(self.down):
            for block in _blocks(blocks):
                h = block(h, context)
                seen.append(h)
            if level < len(self.shrink):
                h = self.shrink[level](h)
                seen.append(h)
        for block in self.middle:
            h = block(h, context)
        for level, blocks in enumerate(self.up):
            for block in _blocks(blocks):
                h = block(torch.cat([h, seen.pop()], 1), context)
            if level < len(self.grow):
                # To the size of what it meets: odd sizes shrink by rounding up.
                h = self.grow[level](F.interpolate(h, seen[-1].shape[-2:], mode="nearest"))
        return F.pixel_shuffle(self.leave(h), self.patch)[..., :height, :width]


class Block(nn.Module):
    """Two normed convolutions beside a shortcut, told by a context; attention behind them."""

    def __init__(self, inputs: int, outputs: int, context: int, dropout: float, *, attention: bool):
        super().__init__()
        self.first = nn.Sequential(
            Norm(inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
        )
        self.tell = nn.Linear(context, 2 * outputs)
        self.norm = Norm(outputs)
        self.second = nn.Sequential(
            nn.SiLU(), nn.Dropout(dropout), _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.look = Look(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.tell(context)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm(self.first(x)), 1 + scale)
        return self.look(self.shortcut(x) + self.second(h))


class Look(nn.Module):
    """Self-attention over all places, added to what was there."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = max(1, width // 32)
        self.norm = Norm(width)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.answer = _zeroed(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, width, high, wide = x.shape
        parts = self.ask(self.norm(x)).reshape(batch, 3, self.heads, width // self.heads, -1)
        query, key, value = (part.transpose(-1, -2) for part in parts.unbind(1))
        seen = attend(query, key, value).transpose(-1, -2)
        return x + self.answer(seen.reshape(batch, width, high, wide))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What each place takes from all others; all (B, heads, places, width)."""
    places, width = query.shape[-2:]
    if query.device.type != "cpu" or places > WRITTEN_OUT:
        return F.scaled_dot_product_attention(query, key, value)
    return ((query * width**-0.5) @ key.transpose(-1, -2)).softmax(-1) @ value


class Norm(nn.GroupNorm):
    """Group norm in float32 always: exact, and on processors 4 times faster than in bf16."""

    def __init__(self, width: int):
        super().__init__(_groups(width), width)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def sinusoids(t: Tensor, width: int, longest: float = 10_000.0) -> Tensor:
    """Steps (B,) as (B, width) sines and cosines of many wavelengths (arXiv:1706.03762, 3.5)."""
    half = width // 2
    rates = torch.exp(-math.log(longest) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    return F.pad(waves, (0, width - 2 * half))


def _blocks(of_a_level: nn.Module) -> Iterable[nn.Module]:
    assert isinstance(of_a_level, nn.ModuleList)
    return of_a_level


def _groups(width: int) -> int:
    return math.gcd(GROUPS, width)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """So that a block does nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
