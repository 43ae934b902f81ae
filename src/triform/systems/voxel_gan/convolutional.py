"""The documented networks: a strided convolutional VAE over voxels and its discriminator.

Module names are those of the original program's checkpoints (`encoder.conv1.weight`,
`decoder.deconv4.bias`, `conv.0.weight`, ...), which therefore load strictly.

Shapes: B batch, R voxel resolution, L layers, z latent_dim, c cond_dim; R a multiple of 2^L.
VAE: arXiv:1312.6114; VAE-GAN: arXiv:1512.09300; 3D-GAN: arXiv:1610.07584.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triform.systems.voxel_gan.config import ModelConfig


class VoxelEncoder(nn.Module):
    """Occupancy (B, 1, R, R, R) in {0, 1} to the posterior's `mu` and `logvar`, each (B, z)."""

    def __init__(self, model: ModelConfig, voxel_size: int):
        super().__init__()
        self.num_layers = model.num_encoder_layers
        self.use_batch_norm = model.use_batch_norm
        channels = [1, *(model.hidden_channels * 2**i for i in range(self.num_layers))]
        for i in range(self.num_layers):
            setattr(self, f"conv{i + 1}", nn.Conv3d(channels[i], channels[i + 1], 4, 2, 1))
            if self.use_batch_norm:
                setattr(self, f"bn{i + 1}", nn.BatchNorm3d(channels[i + 1]))
        self.dropout = nn.Dropout3d(model.dropout_rate)
        num_features = channels[-1] * (voxel_size // 2**self.num_layers) ** 3
        self.fc_mu = nn.Linear(num_features, model.latent_dim)
        self.fc_logvar = nn.Linear(num_features, model.latent_dim)

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        x = voxels
        for i in range(1, self.num_layers + 1):
            x = getattr(self, f"conv{i}")(x)
            if self.use_batch_norm:
                x = getattr(self, f"bn{i}")(x)
            x = self.dropout(torch.relu(x))
        x = x.flatten(1)  # (B, C * (R / 2^L)^3)
        return self.fc_mu(x), self.fc_logvar(x)


class ConditionalVoxelDecoder(nn.Module):
    """Latent (B, z) and condition (B, c) to voxel logits (B, 1, R, R, R); logit > 0 is inside."""

    def __init__(self, model: ModelConfig, voxel_size: int):
        super().__init__()
        self.num_layers = model.num_decoder_layers
        self.use_batch_norm = model.use_batch_norm
        self.start_size = voxel_size // 2**self.num_layers
        channels = [*(model.hidden_channels * 2**i for i in reversed(range(self.num_layers))), 1]
        self.start_channels = channels[0]
        self.fc = nn.Linear(model.decoder_inputs, channels[0] * self.start_size**3)
        for i in range(self.num_layers):
            deconv = nn.ConvTranspose3d(channels[i], channels[i + 1], 4, 2, 1)
            setattr(self, f"deconv{i + 1}", deconv)
            if self.use_batch_norm and i < self.num_layers - 1:
                setattr(self, f"bn_deconv{i + 1}", nn.BatchNorm3d(channels[i + 1]))
        self.dropout = nn.Dropout3d(model.dropout_rate)

    @property
    def output_bias(self) -> Tensor:
        """Bias of the voxel logits."""
        bias: Tensor = getattr(self, f"deconv{self.num_layers}").bias
        return bias

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        x = self.fc(torch.cat([z, cond], dim=1))
        size = self.start_size
        x = x.view(-1, self.start_channels, size, size, size)
        for i in range(1, self.num_layers):
            x = getattr(self, f"deconv{i}")(x)
            if self.use_batch_norm:
                x = getattr(self, f"bn_deconv{i}")(x)
            x = self.dropout(torch.relu(x))
        logits: Tensor = getattr(self, f"deconv{self.num_layers}")(x)
        return logits


class Discriminator(nn.Module):
    """Voxels (B, 1, R, R, R) in [0, 1] to real/fake logits (B, 1); unconditional."""

    def __init__(self, model: ModelConfig, voxel_size: int):
        super().__init__()
        num_layers = model.disc_num_layers
        channels = [1, *(model.disc_hidden_channels * 2**i for i in range(num_layers))]
        stack: list[nn.Module] = []
        for i in range(num_layers):
            stack.append(nn.Conv3d(channels[i], channels[i + 1], 4, 2, 1))
            if model.use_batch_norm:
                stack.append(nn.BatchNorm3d(channels[i + 1]))
            stack.append(nn.ReLU())
            if model.dropout_rate > 0:
                stack.append(nn.Dropout3d(model.dropout_rate))
        self.conv = nn.Sequential(*stack)
        self.fc = nn.Linear(channels[-1] * (voxel_size // 2**num_layers) ** 3, 1)

    def forward(self, voxels: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(voxels).flatten(1))
        return logits
