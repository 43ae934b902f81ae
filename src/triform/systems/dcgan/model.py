"""A generator and a discriminator of strided convolutions.

Radford et al., arXiv:1511.06434; spectral norm: Miyato et al., arXiv:1802.05957. Sizes begin at
size / 2^n between 4 and 7 (28: 7, 14, 28; 32: 4, 8, 16, 32), so that 28 needs no resizing.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from triform.layers.picture_facts import PictureFacts, halvings, picture_shape
from triform.systems.dcgan.config import ModelConfig

SLOPE = 0.2
DEVIATION = 0.02


class Generator(nn.Module):
    """From z (B, latent_dim) to pictures (B, C, S, S) in [-1, 1].

    Args:
        config: sizes.
        facts: of the pictures.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        self.facts = facts
        channels, self.size = picture_shape(facts)
        count, base = halvings(self.size)
        widths = [config.width * 2**level for level in range(count, -1, -1)]
        self.enter = nn.Sequential(
            nn.ConvTranspose2d(config.latent_dim, widths[0], base, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        # A kernel of 4 with stride 2 covers every pixel alike: no chequerboard.
        self.grow = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(narrow),
                    nn.ReLU(),
                )
                for wide, narrow in pairwise(widths)
            )
        )
        self.leave = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.apply(_as_published)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        h = self.grow(self.enter(z[:, :, None, None]))
        return torch.tanh(self.leave(h))[..., : self.size, : self.size]


class Discriminator(nn.Module):
    """From pictures (B, C, S, S) in [-1, 1] to logits (B,): above 0 where they look real.

    Args:
        config: sizes, and what holds it back.
        facts: of the pictures.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        channels, size = picture_shape(facts)
        count, base = halvings(size)
        self.padding = base * 2**count - size
        kind = config.discriminator_norm
        widths = [channels, *(config.width * 2**level for level in range(count + 1))]

        def layer(number: int, inputs: int, outputs: int) -> nn.Module:
            last = number == count
            norm = kind == "batch" and number > 0
            convolution = nn.Conv2d(
                inputs, outputs, 3 if last else 4, stride=1 if last else 2, padding=1,
                bias=not norm,
            )  # fmt: skip
            parts: list[nn.Module] = [_held(convolution, kind)]
            if norm:
                parts.append(nn.BatchNorm2d(outputs))
            return nn.Sequential(*parts, nn.LeakyReLU(SLOPE))

        pairs = pairwise(widths)
        self.shrink = nn.Sequential(*(layer(n, i, o) for n, (i, o) in enumerate(pairs)))
        self.judge = _held(nn.Linear(widths[-1] * base**2, 1), kind)
        if kind != "spectral":
            self.apply(_as_published)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        if self.padding:
            images = F.pad(images, (0, self.padding, 0, self.padding), value=-1.0)
        h = self.shrink(images.contiguous(memory_format=torch.channels_last))
        return self.judge(h.flatten(1))[:, 0]


def _held(layer: nn.Module, kind: str) -> nn.Module:
    return spectral_norm(layer) if kind == "spectral" else layer


def _as_published(module: nn.Module) -> None:
    """First weights of arXiv:1511.06434, section 3."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, DEVIATION)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, DEVIATION)
