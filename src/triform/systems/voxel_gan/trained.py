"""Trained weights, wherever they come from: our checkpoints, the shipped file, the original's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.checkpoint import FORMAT, StateDicts, read
from triform.engine.trained import read_trained
from triform.systems.voxel_gan.config import Config, ModelConfig
from triform.systems.voxel_gan.model import (
    CVAE_Conditional,
    build_cvae,
    build_prior,
    decoder_condition,
)
from triform.systems.voxel_gan.prior import FlowPrior

logger = get_logger(__name__)

SYSTEM = "voxel_gan"


class Trained:
    """A trained model, ready to decode.

    Attributes:
        source: The file it came from.
        voxel_size: Voxels along each edge.
        model: Settings of the networks.
        cvae: Encoder and decoder, in evaluation mode.
        prior: Where latents come from; None means N(0, I).
    """

    def __init__(self, path: Path, device: torch.device):
        self.source = path
        weights, self.voxel_size, self.model = _read(path)
        self.device = device
        self.cvae = cast(
            CVAE_Conditional,
            _build(lambda: build_cvae(self.model, self.voxel_size), weights.get("cvae"), path),
        ).to(device)
        self.cvae.to(memory_format=torch.channels_last_3d)
        self.prior: FlowPrior | None = None
        if self.model.prior == "flow":
            prior = _build(lambda: build_prior(self.model), weights.get("prior"), path)
            self.prior = cast(FlowPrior, prior).to(device)

    @torch.no_grad()
    def latents(
        self, cond: Tensor, noise: Tensor, *, guidance_scale: float, num_steps: int
    ) -> Tensor:
        """Conditions (B, c) and noise (B, z) to latents (B, z)."""
        if self.prior is None:
            return noise
        return self.prior.sample(cond, noise, num_steps=num_steps, guidance_scale=guidance_scale)

    @torch.no_grad()
    def decode(self, z: Tensor, cond: Tensor) -> Tensor:
        """Latents (B, z) and conditions (B, c) to occupancy probabilities (B, R, R, R)."""
        seen = decoder_condition(self.model, cond)
        return torch.sigmoid(self.cvae.decoder(z, seen).float())[:, 0]

    @torch.no_grad()
    def reconstruct(self, voxels: Tensor, cond: Tensor) -> Tensor:
        """Occupancy (B, 1, R, R, R) through encoder and decoder; probabilities (B, R, R, R)."""
        mu, _ = self.cvae.encoder(voxels)
        return self.decode(mu, cond)


def _read(path: Path) -> tuple[StateDicts, int, ModelConfig]:
    """Weights, grid size and model settings of any kind of file."""
    if path.suffix != ".safetensors":
        content = read(path)
        if isinstance(content, dict) and content.get("format") != FORMAT:
            return _read_original(content, path)
    weights, settings = read_trained(path, SYSTEM, Config)
    return weights, settings.data.voxel_size, settings.model


def _read_original(content: dict[str, Any], path: Path) -> tuple[StateDicts, int, ModelConfig]:
    """A checkpoint of the original program: sizes are read off the tensors' shapes."""
    state = content.get("cvae_state_dict", content)
    if not isinstance(state, dict) or "encoder.conv1.weight" not in state:
        raise UserError(
            f"{path}: neither a Triform checkpoint nor one of the original program "
            "(no encoder.conv1.weight in it)"
        )
    try:
        layers = {
            side: max(int(m[1]) for key in state if (m := re.match(pattern, key)))
            for side, pattern in (
                ("encoder", r"encoder\.conv(\d+)\.weight"),
                ("decoder", r"decoder\.deconv(\d+)\.weight"),
            )
        }
        hidden, latent = (
            state["encoder.conv1.weight"].shape[0],
            state["encoder.fc_mu.bias"].shape[0],
        )
        last_channels = state[f"encoder.conv{layers['encoder']}.weight"].shape[0]
        cells = state["encoder.fc_mu.weight"].shape[1] // last_channels
        voxel_size = round(cells ** (1 / 3)) * 2 ** layers["encoder"]
        model = ModelConfig(
            latent_dim=latent,
            cond_dim=state["decoder.fc.weight"].shape[1] - latent,
            hidden_channels=hidden,
            num_encoder_layers=layers["encoder"],
            num_decoder_layers=layers["decoder"],
            use_batch_norm="encoder.bn1.weight" in state,
            text_encoder="clip",
        )
    except (KeyError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path}: a checkpoint of the original program with parts missing"
        ) from error
    logger.info("%s: a checkpoint of the original program, %d^3 voxels", path, voxel_size)
    return {"cvae": state}, voxel_size, model


def _build(
    make: Callable[[], nn.Module], weights: dict[str, Tensor] | None, path: Path
) -> nn.Module:
    """A network that holds `weights`, in evaluation mode.

    It is made without memory first: settings may lie, and sizes are compared before they cost.
    """
    try:
        with torch.device("meta"):
            network = make()
    except RuntimeError as error:
        raise UserError(f"{path}: its settings ask for networks that cannot be made") from error
    name = type(network).__name__
    if weights is None or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise UserError(f"{path}: the weights of {name} are missing, or no tensors")
    floats = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in weights.items()
    }
    try:
        network.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path}: weights do not fit {name}: {first}") from error
    return network.eval()
