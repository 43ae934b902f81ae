"""The trained model of our checkpoints, the shipped weights or the original program's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.checkpoints.checkpoint import FORMAT, StateDicts, Weights, read
from triform.engine.checkpoints.trained import TrainedModel
from triform.systems.voxel_gan.config import DOCUMENTED_CHECKPOINT, Config, ModelConfig
from triform.systems.voxel_gan.model import build_cvae, build_prior, decoder_condition
from triform.systems.voxel_gan.prior import FlowPrior

logger = get_logger(__name__)

SYSTEM = "voxel_gan"


class Trained(TrainedModel[Config]):
    """A trained model in evaluation mode.

    Attributes:
        voxel_size: Voxels along each edge.
        model: Settings of the networks.
        cvae: Encoder and decoder, in evaluation mode.
        prior: Flow prior over the latents, or None for N(0, I).
    """

    system = SYSTEM
    documented = DOCUMENTED_CHECKPOINT
    config_class = Config

    def read(self, path: Path) -> tuple[Weights, Config]:
        if path.suffix != ".safetensors":
            content = read(path)
            if isinstance(content, dict) and content.get("format") != FORMAT:
                return _read_original(content, path)
        return super().read(path)

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.model, self.voxel_size = self.config.model, self.config.data.voxel_size
        self.cvae = build_cvae(self.model, self.voxel_size)
        self.prior: FlowPrior | None = None
        if self.model.prior != "flow":
            return {"cvae": self.cvae}
        self.prior = build_prior(self.model)
        return {"cvae": self.cvae, "prior": self.prior}

    @torch.no_grad()
    def latents(
        self, cond: Tensor, noise: Tensor, *, guidance_scale: float, num_steps: int
    ) -> Tensor:
        """Sample latents (B, z) from noise (B, z), given conditions (B, c)."""
        if self.prior is None:
            return noise
        return self.prior.sample(cond, noise, num_steps=num_steps, guidance_scale=guidance_scale)

    @torch.no_grad()
    def decode(self, z: Tensor, cond: Tensor) -> Tensor:
        """Latents (B, z) and conditions (B, c) to occupancy probabilities (B, R, R, R)."""
        decoder_cond = decoder_condition(self.model, cond)
        return torch.sigmoid(self.cvae.decoder(z, decoder_cond).float())[:, 0]

    @torch.no_grad()
    def reconstruct(self, voxels: Tensor, cond: Tensor) -> Tensor:
        """Encode and decode occupancy (B, 1, R, R, R) to probabilities (B, R, R, R)."""
        mu, _ = self.cvae.encoder(voxels)
        return self.decode(mu, cond)


def _read_original(content: dict[str, Any], path: Path) -> tuple[Weights, Config]:
    """Read a checkpoint of the original program; settings follow from the shapes of its tensors."""
    state = content.get("cvae_state_dict", content)
    if not isinstance(state, dict) or "encoder.conv1.weight" not in state:
        raise UserError(
            f"{path}: neither a Triform checkpoint nor one of the original program "
            "(no encoder.conv1.weight in it)"
        )
    try:
        num_layers = {
            side: max(int(m[1]) for key in state if (m := re.match(pattern, key)))
            for side, pattern in (
                ("encoder", r"encoder\.conv(\d+)\.weight"),
                ("decoder", r"decoder\.deconv(\d+)\.weight"),
            )
        }
        if max(num_layers.values()) > len(state):  # a name may contain any number
            raise ValueError("more layers than tensors")
        latent_dim = state["encoder.fc_mu.bias"].shape[0]
        last_channels = state[f"encoder.conv{num_layers['encoder']}.weight"].shape[0]
        num_cells = state["encoder.fc_mu.weight"].shape[1] // last_channels
        voxel_size = round(num_cells ** (1 / 3)) * 2 ** num_layers["encoder"]
        model = ModelConfig(
            latent_dim=latent_dim,
            cond_dim=state["decoder.fc.weight"].shape[1] - latent_dim,
            hidden_channels=state["encoder.conv1.weight"].shape[0],
            num_encoder_layers=num_layers["encoder"],
            num_decoder_layers=num_layers["decoder"],
            use_batch_norm="encoder.bn1.weight" in state,
            text_encoder="clip",
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path}: a checkpoint of the original program with parts missing"
        ) from error
    logger.info("%s: a checkpoint of the original program, %d^3 voxels", path, voxel_size)
    config = Config()
    data = config.data.model_copy(update={"voxel_size": voxel_size})
    return Weights({"cvae": state}, {}, SYSTEM, {}), config.model_copy(
        update={"model": model, "data": data}
    )
