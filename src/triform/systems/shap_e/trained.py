"""A trained prior, with encoder and decoder where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.engine.checkpoints.building import build_network
from triform.engine.checkpoints.checkpoint import StateDicts, load_weights
from triform.engine.checkpoints.trained import TrainedModel, read_settings
from triform.systems.shap_e.config import DOCUMENTED_FOLDER, Config
from triform.systems.shap_e.model import Prior
from triform.systems.shap_e.noise_schedule import NoiseSchedule
from triform.systems.shap_e.samplers import Denoiser, karras_sigmas, sample_heun
from triform.systems.shap_e.transmitter.transmitter import Transmitter

SYSTEM = "shap_e"
PRIOR, TRANSMITTER = "prior", "transmitter"


def build_prior(config: Config, cond_dim: int) -> Prior:
    """The prior of some settings."""
    transmitter = config.transmitter
    return Prior(config.model, transmitter.latent_vectors, transmitter.latent_width, cond_dim)


class Trained(TrainedModel[Config]):
    """A trained prior in evaluation mode.

    Attributes:
        prior: The network.
        schedule: The diffusion process.
        transmitter: Encoder and decoder of a joint run, or None.
    """

    system = SYSTEM
    config_class = Config

    def __init__(self, path: Path, device: torch.device):
        super().__init__(path, device)
        self.schedule = NoiseSchedule(self.config.diffusion)

    @classmethod
    def find(cls, checkpoint: str | None) -> Path:
        """As in the base class; without a name also in the documented folder of runs."""
        if checkpoint is None:
            runs = sorted(Path(DOCUMENTED_FOLDER, SYSTEM).glob("run_*/checkpoints/best*"))
            if runs:
                return runs[-1]
        return super().find(checkpoint)

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        if PRIOR not in tensors:
            raise ValueError("it holds encoder and decoder alone, give it as --transmitter")
        cond_dim = self.metadata["cond_dim"]
        if not isinstance(cond_dim, int) or not 0 < cond_dim < 2**20:
            raise ValueError(f"cond_dim is {cond_dim}")
        self.prior = build_prior(self.config, cond_dim)
        self.transmitter: Transmitter | None = None
        if TRANSMITTER not in tensors:
            return {PRIOR: self.prior}
        self.transmitter = Transmitter(self.config.transmitter)
        return {PRIOR: self.prior, TRANSMITTER: self.transmitter}

    @property
    def cond_shape(self) -> tuple[int, int]:
        """Vectors of a condition, and numbers of each."""
        return int(self.metadata.get("cond_vectors", 1)), int(self.metadata["cond_dim"])

    def decoder(self, weights: Path | None) -> Transmitter:
        """Encoder and decoder of the checkpoint, or of a file.

        Raises:
            UserError: There is none, or its latents have another shape.
        """
        if weights is None:
            if self.transmitter is None:
                raise UserError(
                    f"{self.source}: holds no decoder; give its weights by --transmitter (that of "
                    "Shap-E is made by `triform shap_e convert transmitter.pt transmitter"
                    ".safetensors`)"
                )
            return self.transmitter
        loaded = load_transmitter(weights).to(self.device)
        mine, other = self.config.transmitter, loaded.config
        if (mine.latent_vectors, mine.latent_width) != (other.latent_vectors, other.latent_width):
            raise UserError(
                f"--transmitter {weights}: latents of {other.latent_vectors} x "
                f"{other.latent_width}, those of {self.source} are {mine.latent_vectors} x "
                f"{mine.latent_width}"
            )
        return loaded

    @torch.no_grad()
    def sample(
        self,
        cond: Tensor,
        seeds: list[int],
        *,
        guidance_scale: float | None = None,
        steps: int = 64,
        sigma_min: float = 1e-3,
        sigma_max: float = 160.0,
    ) -> Tensor:
        """Sample latents (B, V, W) in [-1, 1] for conditions (B, C, D), each by its own seed."""
        return sample_latents(
            self.prior,
            self.schedule,
            cond.to(self.device),
            seeds,
            (self.config.transmitter.latent_vectors, self.config.transmitter.latent_width),
            self.config.model.default_guidance if guidance_scale is None else guidance_scale,
            karras_sigmas(steps, sigma_min, sigma_max),
        )


@torch.no_grad()
def sample_latents(
    network: nn.Module,
    schedule: NoiseSchedule,
    cond: Tensor,
    seeds: list[int],
    shape: tuple[int, int],
    guidance_scale: float,
    sigmas: Tensor,
) -> Tensor:
    """Sample latents (B, V, W) in [-1, 1]; the noise of each comes from its seed alone."""
    noise = torch.stack([torch.randn(shape, generator=generator("latent", s)) for s in seeds])
    denoiser = Denoiser(network, schedule, cond, guidance_scale)
    *_, latents = sample_heun(denoiser, noise.to(cond.device) * float(sigmas[0]), sigmas)
    return latents.clamp(-1, 1)


def load_transmitter(path: str | Path) -> Transmitter:
    """Encoder and decoder from a joint run, or from converted weights, in evaluation mode.

    Raises:
        UserError: There is none in the file, or it does not fit.
    """
    path = Trained.find(str(path))
    weights = load_weights(path)
    if weights.system != SYSTEM or TRANSMITTER not in weights.networks:
        raise UserError(
            f"{path}: holds no encoder and decoder of Shap-E; `triform shap_e convert` makes such "
            "a file of transmitter.pt, `triform shap_e train --joint` of a library"
        )
    config = read_settings(weights.config, Config, weights.networks, path).transmitter
    tensors = weights.networks[TRANSMITTER]
    has_encoder = any(name.startswith("encoder.") for name in tensors)
    return build_network(
        lambda: Transmitter(config, has_encoder=has_encoder), tensors, path, TRANSMITTER
    )


def metadata_of(cond_shape: tuple[int, int]) -> dict[str, Any]:
    """Metadata of a checkpoint."""
    return {"cond_vectors": cond_shape[0], "cond_dim": cond_shape[1]}
