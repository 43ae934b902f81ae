"""Style-based generator, and a discriminator with a minibatch standard deviation.

Karras et al., arXiv:1812.04948 (mapping network, AdaIN, noise, mixing, truncation) and
arXiv:1912.04958 (demodulated weights, skip outputs in place of progressive growing). Plain torch: a
style scales the input of a convolution and its norm the output, which equals different weights for
every image, without a convolution per image.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.image_spec import ImageSpec, downsampling
from triform.systems.style_gan.config import ModelConfig
from triform.systems.style_gan.progressive import level_and_fade

LEAKY_SLOPE = 0.2
GAIN = math.sqrt(2)
EPS = 1e-8
W_AVG_RATE = 0.005
"""Weight of a batch in the running average of styles."""


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: unit variance, scaled in use (arXiv:1710.10196).

    Args:
        inputs: Width of the input.
        outputs: Width of the output.
        bias: Initial value of the bias.
        lr_multiplier: Learning rate of this layer, as a share of the optimizer's.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.scale, self.lr_multiplier = lr_multiplier / math.sqrt(inputs), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualConv(nn.Module):
    """Convolution with equalised learning rate.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Kernel size.
        stride: Stride.
        gain: Factor of the output. The gain of an activation is applied here: scaling a small
            kernel costs nothing, scaling feature maps does.
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


class MappingNetwork(nn.Module):
    """From latents z (B, D) to styles w (B, D), with their running average `w_avg` (D,)."""

    w_avg: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.latent_dim
        self.layers = nn.ModuleList(
            EqualLinear(width, width, lr_multiplier=config.mapping_rate)
            for _ in range(config.mapping_layers)
        )
        self.register_buffer("w_avg", torch.zeros(width))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + EPS).rsqrt()
        for layer in self.layers:
            w = F.leaky_relu(layer(w), LEAKY_SLOPE) * GAIN
        if self.training:
            self.w_avg.lerp_(w.detach().float().mean(0), W_AVG_RATE)
        return w


class StyledConv(nn.Module):
    """Convolution modulated by a style, then noise and activation.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        style_dim: Width of w.
        config: Kind of modulation, and whether noise is added.
        upsample: To twice the size, behind the convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, config: ModelConfig, *, upsample: bool
    ):
        super().__init__()
        weight = torch.randn(outputs, inputs, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.upsample, self.adain = upsample, config.modulation == "adain"
        # AdaIN scales and shifts the output; modulation scales the input.
        self.affine = EqualLinear(style_dim, 2 * outputs if self.adain else inputs, bias=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(outputs, 1, 1)) if config.noise else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w)
        weight = self.weight * self.scale
        if self.adain:
            h = F.instance_norm(F.conv2d(x, weight, padding=1))
            scale, shift = (style * GAIN)[:, :, None, None].chunk(2, 1)
            h = h * scale.to(h.dtype) + (shift - GAIN).to(h.dtype)
        else:
            h = F.conv2d(x * style[:, :, None, None].to(x.dtype), weight, padding=1)
            # Expected standard deviation for an input of unit variance.
            demodulation = (style.square() @ weight.square().sum((2, 3)).T + EPS).rsqrt() * GAIN
            h = h * demodulation[:, :, None, None].to(h.dtype)
        if self.upsample:  # behind the convolution, which is four times cheaper
            h = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
        # Small tensors are cast: one in float32 would turn all that follows into float32.
        if self.noise_strength is not None:
            noise = torch.randn(len(h), 1, *h.shape[2:], device=h.device)
            h = torch.addcmul(h, noise.to(h.dtype), (self.noise_strength * GAIN).to(h.dtype))
        bias = (self.bias * GAIN)[:, None, None]
        return F.leaky_relu(h + bias.to(h.dtype), LEAKY_SLOPE)


class Generator(nn.Module):
    """From latents to images in [-1, 1]; the outputs of all sizes are summed.

    Attributes:
        num_layers: Layers that take a style.
        levels: Doublings from the lowest size to the full one.
        base: The lowest size.
        progress: Of progressive growing; absent without it.

    Args:
        config: Sizes.
        spec: Shape of the images.
    """

    progress: Tensor

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.size = spec.size
        self.levels, self.base = downsampling(self.size)
        widths = [config.width * 2**level for level in range(self.levels, -1, -1)]
        if config.progressive_steps:
            self.register_buffer("progress", torch.zeros(()))
        self.mapping = MappingNetwork(config)
        self.const = nn.Parameter(torch.randn(1, widths[0], self.base, self.base))
        dim = config.latent_dim
        self.layers = nn.ModuleList([StyledConv(widths[0], widths[0], dim, config, upsample=False)])
        self.to_rgb = nn.ModuleList([EqualConv(widths[0], spec.channels, 1)])
        for wide, narrow in pairwise(widths):
            self.layers.append(StyledConv(wide, narrow, dim, config, upsample=True))
            self.layers.append(StyledConv(narrow, narrow, dim, config, upsample=False))
            self.to_rgb.append(EqualConv(narrow, spec.channels, 1))
        self.num_layers = len(self.layers)

    def forward(
        self, z: Tensor, mixing_z: Tensor | None = None, crossover: Tensor | None = None
    ) -> Tensor:
        """Images (B, C, S, S).

        Args:
            z: Latents (B, D).
            mixing_z: Latents (B, D) of second styles.
            crossover: First layer (B,) that takes the second style.
        """
        styles = self.broadcast(self.mapping(z))
        if mixing_z is not None and crossover is not None:
            mixing_styles = self.mapping(mixing_z)[:, None]
            mixed = torch.arange(self.num_layers, device=z.device) >= crossover[:, None]
            styles = torch.where(mixed[..., None], mixing_styles, styles)
        return self.synthesis(styles)

    def broadcast(self, w: Tensor) -> Tensor:
        """Styles (B, num_layers, D) that are the same in all layers, of w (B, D)."""
        return w[:, None].expand(-1, self.num_layers, -1)

    def truncate(self, w: Tensor, truncation: float) -> Tensor:
        """Styles moved towards their average (arXiv:1812.04948, appendix B)."""
        return self.mapping.w_avg + truncation * (w - self.mapping.w_avg)

    def generate(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """Images (B, C, S, S) of latents (B, D), without mixing."""
        return self.synthesis(self.broadcast(self.truncate(self.mapping(z), truncation)))

    def synthesis(self, styles: Tensor) -> Tensor:
        """Images of styles (B, num_layers, D), one per layer.

        While sizes are faded in, training gets images of the size in use; else they are enlarged.
        """
        last, fade = level_and_fade(get_progress(self, self.levels))
        const = self.const.expand(len(styles), -1, -1, -1)
        h = self.layers[0](const.contiguous(memory_format=torch.channels_last), styles[:, 0])
        image = self.to_rgb[0](h)
        for level, to_rgb in enumerate(list(self.to_rgb)[1 : last + 1], 1):
            layer = 2 * level - 1
            h = self.layers[layer](h, styles[:, layer])
            h = self.layers[layer + 1](h, styles[:, layer + 1])
            upsampled = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
            image = upsampled + (to_rgb(h) if level < last or fade == 1 else fade * to_rgb(h))
        # Saturation reaches the exact black and white of real images.
        image = torch.tanh(image)
        if last < self.levels:
            if self.training:
                return image
            image = F.interpolate(image, scale_factor=2 ** (self.levels - last), mode="nearest")
        return image[..., : self.size, : self.size]


class Discriminator(nn.Module):
    """From images (B, C, S, S) to logits (B,), positive for real ones.

    While sizes are faded in, images have the size in use.

    Args:
        config: Sizes.
        spec: Shape of the images.
    """

    progress: Tensor

    def __init__(self, config: ModelConfig, spec: ImageSpec):
        super().__init__()
        self.levels, base = downsampling(spec.size)
        self.size, self.padding = spec.size, base * 2**self.levels - spec.size
        widths = [config.width * 2**level for level in range(self.levels + 1)]
        self.from_rgb = EqualConv(spec.channels, widths[0], 1, gain=GAIN)
        if config.progressive_steps:
            self.register_buffer("progress", torch.zeros(()))
            self.from_small_rgb = nn.ModuleList(
                EqualConv(spec.channels, width, 1, gain=GAIN) for width in widths[1:]
            )
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(narrow, wide) for narrow, wide in pairwise(widths)
        )
        self.conv = EqualConv(widths[-1] + 1, widths[-1], gain=GAIN)
        self.fc = EqualLinear(widths[-1] * base**2, widths[-1])
        self.out = EqualLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        level, fade = level_and_fade(get_progress(self, self.levels))
        first = self.levels - level
        if self.padding and images.shape[-1] == self.size:
            images = F.pad(images, (0, self.padding, 0, self.padding), value=-1.0)
        # `to`, not `contiguous`: images of one channel count as both, and would stay as they are.
        images = images.to(memory_format=torch.channels_last)
        h = self._stem(images, first)
        for index, block in enumerate(list(self.blocks)[first:], first):
            h = block(h)
            if index == first and fade < 1:
                h = torch.lerp(self._stem(F.avg_pool2d(images, 2), first + 1), h, fade)
        h = F.leaky_relu(self.conv(append_minibatch_std(h)), LEAKY_SLOPE)
        h = F.leaky_relu(self.fc(h.flatten(1)), LEAKY_SLOPE) * GAIN
        output: Tensor = self.out(h)[:, 0]
        return output

    def _stem(self, images: Tensor, block: int) -> Tensor:
        """Input of a block (or of the last convolution) from images of its size."""
        conv = self.from_rgb if block == 0 else self.from_small_rgb[block - 1]
        return F.leaky_relu(conv(images), LEAKY_SLOPE)


def get_progress(network: Generator | Discriminator, levels: int) -> float:
    """Progress of a network's growth; all levels where it does not grow."""
    return float(getattr(network, "progress", levels))


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the size (arXiv:1912.04958, section 4)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = EqualConv(inputs, inputs, gain=GAIN)
        # The residual sum is divided by the square root of 2, which cancels this gain.
        self.conv1 = EqualConv(inputs, outputs, stride=2)
        self.skip = EqualConv(inputs, outputs, 1, gain=1 / GAIN)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv0(x), LEAKY_SLOPE)
        h = F.leaky_relu(self.conv1(h), LEAKY_SLOPE)
        output: Tensor = h + self.skip(F.avg_pool2d(x, 2))
        return output


def append_minibatch_std(h: Tensor, group_size: int = 4) -> Tensor:
    """Append the standard deviation within groups as a channel (arXiv:1710.10196, section 3)."""
    size = math.gcd(len(h), group_size)
    groups = h.float().reshape(size, -1, *h.shape[1:])  # small differences need float32
    centred = groups - groups.mean(0)
    std = (centred.square().mean(0) + EPS).sqrt().mean((1, 2, 3)).to(h.dtype)
    return torch.cat([h, std.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:])], 1)
