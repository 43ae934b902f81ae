"""Generator with residual blocks, and PatchGAN discriminator.

Zhu et al., arXiv:1703.10593, section 4 and appendix 7.2; smaller. Unlike there, the stem has no
norm and is concatenated to the input of the head: instance norm removes brightness and contrast
of each image, and the stem is the only way to restore them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from triform.layers.image_spec import ImageSpec
from triform.systems.cycle_gan.config import ModelConfig

INIT_STD = 0.02


class Generator(nn.Module):
    """From images (B, C, H, W) in [-1, 1] of one domain to the other, of any size.

    Args:
        config: Sizes.
        spec: Shape of the images.
    """

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        widths = [config.width << level for level in range(config.levels + 1)]
        self.stem = nn.Sequential(_reflect_conv(spec.channels, widths[0], 7), nn.ReLU())
        self.downsamplers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), *_norm_relu(outputs)
            )
            for inputs, outputs in pairwise(widths)
        )
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(config.blocks)))
        pairs = list(pairwise(widths[::-1]))
        self.upsamplers = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            for inputs, outputs in pairs
        )
        self.norms = nn.ModuleList(nn.Sequential(*_norm_relu(outputs)) for _, outputs in pairs)
        self.head = _reflect_conv(2 * widths[0], spec.channels, 7)
        self.apply(_init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Images of the same size."""
        stem = h = self.stem(x)
        sizes = []
        for downsample in self.downsamplers:
            sizes.append(h.shape[-2:])
            h = downsample(h)
        h = self.blocks(h)
        for upsample, norm in zip(self.upsamplers, self.norms, strict=True):
            h = norm(upsample(h, output_size=sizes.pop()))
        output: Tensor = self.head(torch.cat([h, stem], 1)).tanh()
        return output


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, and a skip."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            _reflect_conv(width, width, 3, bias=False),
            *_norm_relu(width),
            _reflect_conv(width, width, 3, bias=False),
            nn.InstanceNorm2d(width, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.layers(x)
        return output


class Discriminator(nn.Module):
    """PatchGAN: from images (B, C, H, W) in [-1, 1] to (B, 1, h, w), one output per patch.

    Args:
        config: Sizes.
        channels: Channels of the images.
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
        self.apply(_init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """1 for a patch that looks real, 0 for one that looks generated."""
        output: Tensor = self.layers(x)
        return output


def min_image_size(config: ModelConfig) -> int:
    """Fewest pixels along a side that both networks can process."""
    # Reflection needs 2 pixels between the halvings, a 7 x 7 kernel 4; norms need more than one.
    return max(4, 2 << config.levels, 3 << config.discriminator_levels)


def _reflect_conv(inputs: int, outputs: int, size: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect", bias=bias)


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width, affine=True), nn.ReLU()


def _init_weights(layer: nn.Module) -> None:
    """Initial weights (appendix 7.1)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=INIT_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
