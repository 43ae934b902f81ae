"""The networks of the system, built from its settings: tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.plain import ConditionalVoxelDecoder, Discriminator, VoxelEncoder
from triform.systems.voxel_gan.prior import FlowPrior
from triform.systems.voxel_gan.residual import ResidualDecoder, ResidualEncoder

INITIAL_OCCUPANCY_LOGIT = -2.0  # a new decoder says 12 %, about what filled furniture occupies


class CVAE_Conditional(nn.Module):
    """Encoder and text-conditioned decoder in one network, with the original's weight names."""

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
    """What the decoder sees of conditions (B, c): all of it, or (B, 0)."""
    return cond if model.condition_decoder else cond[:, :0]


def build_cvae(model: ModelConfig, voxel_size: int) -> CVAE_Conditional:
    """The VAE for grids of `voxel_size`."""
    cond_dim = model.cond_dim if model.condition_decoder else 0
    encoder: VoxelEncoder | ResidualEncoder
    decoder: ConditionalVoxelDecoder | ResidualDecoder
    if model.architecture == "residual":
        encoder = ResidualEncoder(
            voxel_size,
            latent_dim=model.latent_dim,
            hidden_channels=model.hidden_channels,
            dropout_rate=model.dropout_rate,
        )
        decoder = ResidualDecoder(
            voxel_size,
            latent_dim=model.latent_dim,
            cond_dim=cond_dim,
            hidden_channels=model.hidden_channels,
            dropout_rate=model.dropout_rate,
        )
    else:
        encoder = VoxelEncoder(
            voxel_size,
            latent_dim=model.latent_dim,
            hidden_channels=model.hidden_channels,
            num_layers=model.num_encoder_layers,
            use_batch_norm=model.use_batch_norm,
            dropout_rate=model.dropout_rate,
        )
        decoder = ConditionalVoxelDecoder(
            voxel_size,
            latent_dim=model.latent_dim,
            cond_dim=cond_dim,
            hidden_channels=model.hidden_channels,
            num_layers=model.num_decoder_layers,
            use_batch_norm=model.use_batch_norm,
            dropout_rate=model.dropout_rate,
        )
    cvae = CVAE_Conditional(encoder, decoder)
    nn.init.constant_(decoder.output_bias, INITIAL_OCCUPANCY_LOGIT)
    # Channels last: the layout in which 3D convolutions are fastest on a CPU and on tensor cores.
    return cvae.to(memory_format=torch.channels_last_3d)


def build_discriminator(model: ModelConfig, voxel_size: int) -> Discriminator:
    """The discriminator for grids of `voxel_size`."""
    discriminator = Discriminator(
        voxel_size,
        hidden_channels=model.disc_hidden_channels,
        num_layers=model.disc_num_layers,
        use_batch_norm=model.use_batch_norm,
        dropout_rate=model.dropout_rate,
    )
    return discriminator.to(memory_format=torch.channels_last_3d)


def build_prior(model: ModelConfig) -> FlowPrior:
    """The flow prior over the latent."""
    return FlowPrior(
        latent_dim=model.latent_dim,
        cond_dim=model.cond_dim,
        width=model.prior_width,
        num_layers=model.prior_layers,
    )
