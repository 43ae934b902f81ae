"""A generator with residual blocks, and a discriminator that judges patches.

Zhu et al., arXiv:1703.10593, section 4 and appendix 7.2; smaller. Unlike there, the first layer is
not normed and the last one sees it too: instance norm takes brightness and contrast out of each
picture, and what the first layer saw is the only way to give them back.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, cat, nn

from triform.layers.picture_facts import PictureFacts, picture_shape
from triform.systems.cycle_gan.config import ModelConfig

INITIAL_STD = 0.02


class Generator(nn.Module):
    """From pictures (B, C, H, W) in [-1, 1] of one kind to such of the other, of any size.

    Args:
        config: sizes.
        facts: of the pictures.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        self.facts = facts
        channels, _ = picture_shape(facts)
        widths = [config.width << level for level in range(config.levels + 1)]
        self.first = nn.Sequential(_same(channels, widths[0], 7), nn.ReLU())
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), *_normed(outputs)
            )
            for inputs, outputs in pairwise(widths)
        )
        self.blocks = nn.Sequential(*(Residual(widths[-1]) for _ in range(config.blocks)))
        pairs = [(outputs, inputs) for inputs, outputs in pairwise(widths)][::-1]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            for inputs, outputs in pairs
        )
        self.after = nn.ModuleList(nn.Sequential(*_normed(outputs)) for _, outputs in pairs)
        self.last = _same(2 * widths[0], channels, 7)
        self.apply(_begin)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures of the same size."""
        first = h = self.first(x)
        sizes = []
        for shrink in self.down:
            sizes.append(h.shape[-2:])
            h = shrink(h)
        h = self.blocks(h)
        for grow, norm in zip(self.up, self.after, strict=True):
            h = norm(grow(h, output_size=sizes.pop()))
        return self.last(cat([h, first], 1)).tanh()


class Residual(nn.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            _same(width, width, 3, bias=False),
            *_normed(width),
            _same(width, width, 3, bias=False),
            nn.InstanceNorm2d(width, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Discriminator(nn.Module):
    """From pictures (B, C, H, W) in [-1, 1] to (B, 1, h, w): how real each patch looks.

    Args:
        config: sizes.
        channels: of the pictures.
    """

    def __init__(self, config: ModelConfig, channels: int):
        super().__init__()
        width = config.discriminator_width
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for level in range(1, config.discriminator_levels + 1):
            stride = 2 if level < config.discriminator_levels else 1
            wider = config.discriminator_width * min(8, 2**level)
            layers += [
                nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=False),
                nn.InstanceNorm2d(wider, affine=True),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))
        self.apply(_begin)

    def forward(self, x: Tensor) -> Tensor:
        """1 where a patch looks real, 0 where it looks made."""
        return self.layers(x)


def smallest_size(config: ModelConfig) -> int:
    """Fewest pixels along a side that both networks can work on."""
    # Reflection needs 2 pixels between the halvings, a 7 x 7 kernel 4; norms need more than one.
    return max(4, 2 << config.levels, 3 << config.discriminator_levels)


def _same(inputs: int, outputs: int, size: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect", bias=bias)


def _normed(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width, affine=True), nn.ReLU()


def _begin(layer: nn.Module) -> None:
    """First weights (appendix 7.1)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=INITIAL_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
