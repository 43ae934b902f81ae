"""Generator and discriminator of strided convolutions.

Radford et al., arXiv:1511.06434; spectral norm: Miyato et al., arXiv:1802.05957. The lowest size is
size / 2^n, between 4 and 7 pixels (28: 7, 14, 28; 32: 4, 8, 16, 32), so that 28 needs no resizing.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from triform.layers.image_spec import ImageSpec, downsampling
from triform.systems.dcgan.config import ModelConfig

LEAKY_SLOPE = 0.2
INIT_STD = 0.02


class Generator(nn.Module):
    """From latents z (B, latent_dim) to images (B, C, S, S) in [-1, 1].

    Args:
        config: Sizes.
        spec: Shape of the images.
    """

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.size = spec.size
        levels, base = downsampling(self.size)
        widths = [config.width * 2**level for level in range(levels, -1, -1)]
        self.stem = nn.Sequential(
            nn.ConvTranspose2d(config.latent_dim, widths[0], base, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        # A kernel of 4 with stride 2 covers all pixels evenly: no checkerboard.
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(narrow),
                    nn.ReLU(),
                )
                for wide, narrow in pairwise(widths)
            )
        )
        self.head = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)
        self.apply(_init_weights)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        h = self.blocks(self.stem(z[:, :, None, None]))
        return torch.tanh(self.head(h))[..., : self.size, : self.size]


class Discriminator(nn.Module):
    """From images (B, C, S, S) in [-1, 1] to logits (B,), positive for real ones.

    Args:
        config: Sizes and normalisation.
        spec: Shape of the images.
    """

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        levels, base = downsampling(spec.size)
        self.padding = base * 2**levels - spec.size
        norm = config.discriminator_norm
        widths = [spec.channels, *(config.width * 2**level for level in range(levels + 1))]

        def block(index: int, inputs: int, outputs: int) -> nn.Module:
            last, batch_norm = index == levels, norm == "batch" and index > 0
            kernel, stride = (3, 1) if last else (4, 2)
            conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=not batch_norm)
            layers = [_spectral_norm_if(norm == "spectral", conv)]
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            return nn.Sequential(*layers, nn.LeakyReLU(LEAKY_SLOPE))

        pairs = pairwise(widths)
        self.blocks = nn.Sequential(*(block(n, i, o) for n, (i, o) in enumerate(pairs)))
        self.head = _spectral_norm_if(norm == "spectral", nn.Linear(widths[-1] * base**2, 1))
        if norm != "spectral":
            self.apply(_init_weights)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        if self.padding:
            images = F.pad(images, (0, self.padding, 0, self.padding), value=-1.0)
        h = self.blocks(images.contiguous(memory_format=torch.channels_last))
        output: Tensor = self.head(h.flatten(1))[:, 0]
        return output


def _spectral_norm_if(condition: bool, layer: nn.Module) -> nn.Module:
    return spectral_norm(layer) if condition else layer


def _init_weights(module: nn.Module) -> None:
    """Initial weights of arXiv:1511.06434, section 3."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, INIT_STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, INIT_STD)
