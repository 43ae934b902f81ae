"""The networks of the system, built from its settings: tensors in, tensors out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.convolutional import (
    ConditionalVoxelDecoder,
    Discriminator,
    VoxelEncoder,
)
from triform.systems.voxel_gan.residual import ResidualDecoder, ResidualEncoder

FULL_RATE_INPUTS = 64
INITIAL_OCCUPANCY_LOGIT = -2.0  # p = 12 %, about the mean occupancy of filled furniture


class CVAE_Conditional(nn.Module):
    """Encoder and text-conditioned decoder, with the weight names of the original program."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, voxels: Tensor, cond: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode, draw a latent and decode it (reparameterization, arXiv:1312.6114 section 2.4).

        Args:
            voxels: Occupancy (B, 1, R, R, R) in {0, 1}.
            cond: Conditions (B, c); zeros where there is no text, c = 0 for a decoder without.
            noise: Standard normal (B, z); zeros decode the mean.

        Returns:
            Voxel logits (B, 1, R, R, R), `mu`, `logvar` and `z`, each (B, z).
        """
        mu, logvar = self.encoder(voxels)
        z = mu + noise * torch.exp(logvar / 2)
        return self.decoder(z, cond), mu, logvar, z


def decoder_condition(model: ModelConfig, cond: Tensor) -> Tensor:
    """Conditions (B, c) for the decoder; (B, 0) for a decoder without condition."""
    return cond if model.condition_decoder else cond[:, :0]


def build_cvae(model: ModelConfig, voxel_size: int) -> CVAE_Conditional:
    """Build the VAE for `voxel_size`^3 voxels."""
    is_residual = model.architecture == "residual"
    encoder = (ResidualEncoder if is_residual else VoxelEncoder)(model, voxel_size)
    decoder = (ResidualDecoder if is_residual else ConditionalVoxelDecoder)(model, voxel_size)
    cvae = CVAE_Conditional(encoder, decoder)
    nn.init.constant_(decoder.output_bias, INITIAL_OCCUPANCY_LOGIT)
    # Channels last: the layout in which 3D convolutions are fastest on a CPU and on tensor cores.
    return cvae.to(memory_format=torch.channels_last_3d)


def build_discriminator(model: ModelConfig, voxel_size: int) -> Discriminator:
    """Build the discriminator for `voxel_size`^3 voxels."""
    return Discriminator(model, voxel_size).to(memory_format=torch.channels_last_3d)


def width_scaled(network: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Parameter groups with learning rates scaled by 1 / fan-in (muP for Adam).

    A step of Adam changes every weight by about `lr`, and so an output by `lr` times its inputs: at
    the documented 5e-3 the 16,384 inputs of `fc_mu` drive the latent to 10^6 in the first steps.
    The rule is arXiv:2203.03466 table 8, with `lr` itself for layers of up to 64 inputs, as the
    first convolution has.

    Args:
        network: The documented encoder, decoder or discriminator.
        lr: Learning rate of narrow layers, biases and norms.

    Returns:
        Parameter groups for an optimizer, with every parameter in exactly one.
    """
    parameters_by_rate: dict[float, list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            rate = lr
            if name == "weight" and isinstance(module, nn.Linear):
                rate *= min(1.0, FULL_RATE_INPUTS / module.in_features)
            elif name == "weight" and isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                inputs = module.in_channels * math.prod(module.kernel_size)
                if isinstance(module, nn.ConvTranspose3d):  # kernels overlap by their strides
                    inputs //= math.prod(module.stride)
                rate *= min(1.0, FULL_RATE_INPUTS / inputs)
            parameters_by_rate.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in parameters_by_rate.items()]
