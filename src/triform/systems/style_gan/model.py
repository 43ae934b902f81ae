"""A generator ruled by styles, and a discriminator with a look at the whole batch.

Karras et al., arXiv:1812.04948 (mapping network, AdaIN, noise, mixing, truncation) and
arXiv:1912.04958 (demodulated weights, skip outputs in the place of growing). Plain torch: a style
scales what goes into a convolution and its norm what comes out, which is the same as other weights
for every picture, without a convolution per picture.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.picture_facts import PictureFacts, halvings, picture_shape
from triform.systems.style_gan.config import ModelConfig

SLOPE = 0.2
GAIN = math.sqrt(2)
SMALL = 1e-8


class EqualLinear(nn.Module):
    """A linear layer whose weights have deviation 1 and are scaled when used (arXiv:1710.10196).

    Args:
        inputs: width.
        outputs: width.
        bias: first value of the bias.
        rate: learning rate of this layer, as a share of the optimizer's.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution whose weights have deviation 1 and are scaled when used.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: width of the kernel.
        stride: of the convolution.
        gain: factor of what comes out. The gain of an activation is taken here: scaling a small
            kernel costs nothing, scaling pictures does.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, gain: float = 1.0
    ):
        super().__init__()
        weight = torch.randn(outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.gain = gain / math.sqrt(inputs * kernel**2), gain
        self.stride, self.padding = stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.scale, self.bias * self.gain
        return F.conv2d(x, weight, bias, self.stride, self.padding)


class Mapping(nn.Module):
    """From z (B, D) to styles w (B, D), and their running average.

    Args:
        config: sizes.
    """

    average: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.latent_dim
        self.layers = nn.ModuleList(
            EqualLinear(width, width, rate=config.mapping_rate)
            for _ in range(config.mapping_layers)
        )
        self.register_buffer("average", torch.zeros(width))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + SMALL).rsqrt()
        for layer in self.layers:
            w = F.leaky_relu(layer(w), SLOPE) * GAIN
        if self.training:
            self.average.lerp_(w.detach().float().mean(0), 0.005)
        return w


class StyledLayer(nn.Module):
    """A convolution under a style, then noise.

    Args:
        inputs: channels.
        outputs: channels.
        style: width of w.
        config: how a style acts.
        grows: to twice the size, behind the convolution.
    """

    def __init__(self, inputs: int, outputs: int, style: int, config: ModelConfig, grows: bool):
        super().__init__()
        weight = torch.randn(outputs, inputs, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.grows, self.adain = grows, config.modulation == "adain"
        # AdaIN scales and shifts what comes out; modulation scales what goes in.
        self.style = EqualLinear(style, 2 * outputs if self.adain else inputs, bias=1.0)
        self.noise = nn.Parameter(torch.zeros(outputs, 1, 1)) if config.noise else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w)
        weight = self.weight * self.scale
        if self.adain:
            h = F.instance_norm(F.conv2d(x, weight, padding=1))
            scale, shift = (style * GAIN)[:, :, None, None].chunk(2, 1)
            h = h * scale.to(h.dtype) + (shift - GAIN).to(h.dtype)
        else:
            h = F.conv2d(x * style[:, :, None, None].to(x.dtype), weight, padding=1)
            # What the deviation would be if what goes in had deviation 1.
            norm = (style.square() @ weight.square().sum((2, 3)).T + SMALL).rsqrt() * GAIN
            h = h * norm[:, :, None, None].to(h.dtype)
        if self.grows:  # behind the convolution, which is four times cheaper
            h = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
        # Small tensors are cast, for one of float32 would turn all that follows into float32.
        if self.noise is not None:
            noise = torch.randn(len(h), 1, *h.shape[2:], device=h.device)
            h = torch.addcmul(h, noise.to(h.dtype), (self.noise * GAIN).to(h.dtype))
        bias = (self.bias * GAIN)[:, None, None]
        return F.leaky_relu(h + bias.to(h.dtype), SLOPE)


class Generator(nn.Module):
    """From styles to pictures in [-1, 1]; every size adds its own part of the picture.

    Attributes:
        num_layers: how many layers take a style.

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
        self.mapping = Mapping(config)
        self.start = nn.Parameter(torch.randn(1, widths[0], base, base))
        style = config.latent_dim
        self.layers = nn.ModuleList([StyledLayer(widths[0], widths[0], style, config, False)])
        self.outputs = nn.ModuleList([EqualConv(widths[0], channels, 1)])
        for wide, narrow in pairwise(widths):
            self.layers.append(StyledLayer(wide, narrow, style, config, True))
            self.layers.append(StyledLayer(narrow, narrow, style, config, False))
            self.outputs.append(EqualConv(narrow, channels, 1))
        self.num_layers = len(self.layers)

    def forward(
        self, z: Tensor, other: Tensor | None = None, crossover: Tensor | None = None
    ) -> Tensor:
        """Pictures (B, C, S, S).

        Args:
            z: (B, D).
            other: (B, D) of second styles.
            crossover: (B,) first layer that takes the second style.
        """
        styles = self.mapping(z)[:, None].expand(-1, self.num_layers, -1)
        if other is not None and crossover is not None:
            second = self.mapping(other)[:, None]
            later = torch.arange(self.num_layers, device=z.device) >= crossover[:, None]
            styles = torch.where(later[..., None], second, styles)
        return self.synthesize(styles)

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        """Styles drawn towards the average one (arXiv:1812.04948, appendix B)."""
        return self.mapping.average + truncation * (w - self.mapping.average)

    def synthesize(self, styles: Tensor) -> Tensor:
        """Pictures of styles (B, num_layers, D), one per layer."""
        start = self.start.expand(len(styles), -1, -1, -1)
        h = self.layers[0](start.contiguous(memory_format=torch.channels_last), styles[:, 0])
        image = self.outputs[0](h)
        for level, output in enumerate(list(self.outputs)[1:]):
            first = 1 + 2 * level
            h = self.layers[first](h, styles[:, first])
            h = self.layers[first + 1](h, styles[:, first + 1])
            larger = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
            image = larger + output(h)
        # Black and white that pictures really have are met only by what saturates.
        return torch.tanh(image[..., : self.size, : self.size])


class Discriminator(nn.Module):
    """From pictures (B, C, S, S) to logits (B,): above 0 where they look real.

    Args:
        config: sizes.
        facts: of the pictures.
    """

    def __init__(self, config: ModelConfig, facts: PictureFacts):
        super().__init__()
        channels, size = picture_shape(facts)
        count, base = halvings(size)
        self.padding = base * 2**count - size
        widths = [config.width * 2**level for level in range(count + 1)]
        self.enter = EqualConv(channels, widths[0], 1, gain=GAIN)
        self.blocks = nn.ModuleList(
            ShrinkingBlock(narrow, wide) for narrow, wide in pairwise(widths)
        )
        self.last = EqualConv(widths[-1] + 1, widths[-1], gain=GAIN)
        self.flat = EqualLinear(widths[-1] * base**2, widths[-1])
        self.judge = EqualLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        if self.padding:
            images = F.pad(images, (0, self.padding, 0, self.padding), value=-1.0)
        # `to`, not `contiguous`: pictures of one channel count as both, and would stay as they are.
        images = images.to(memory_format=torch.channels_last)
        h = F.leaky_relu(self.enter(images), SLOPE)
        for block in self.blocks:
            h = block(h)
        h = F.leaky_relu(self.last(with_spread(h)), SLOPE)
        h = F.leaky_relu(self.flat(h.flatten(1)), SLOPE) * GAIN
        return self.judge(h)[:, 0]


class ShrinkingBlock(nn.Module):
    """Two convolutions to half the size, beside a shortcut (arXiv:1912.04958, section 4)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualConv(inputs, inputs, gain=GAIN)
        # The sum of two ways is divided by the square root of 2, which is this gain.
        self.second = EqualConv(inputs, outputs, stride=2)
        self.shortcut = EqualConv(inputs, outputs, 1, gain=1 / GAIN)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(x), SLOPE)
        h = F.leaky_relu(self.second(h), SLOPE)
        return h + self.shortcut(F.avg_pool2d(x, 2))


def with_spread(h: Tensor, group: int = 4) -> Tensor:
    """One more channel: how much the pictures of a group differ (arXiv:1710.10196, section 3)."""
    size = math.gcd(len(h), group)
    grouped = h.float().reshape(size, -1, *h.shape[1:])  # small differences, whatever the format
    apart = grouped - grouped.mean(0)
    spread = (apart.square().mean(0) + SMALL).sqrt().mean((1, 2, 3)).to(h.dtype)
    return torch.cat([h, spread.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:])], 1)
