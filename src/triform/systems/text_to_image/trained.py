"""A trained text-to-image model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import shorten
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.device import pick_device
from triform.pretrained.text_encoder import TextEncoder
from triform.systems.text_to_image.compositing import as_bytes
from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.condition_encoding import encode_condition
from triform.systems.text_to_image.config import Config, SamplingConfig
from triform.systems.text_to_image.model import build_networks
from triform.systems.text_to_image.noise import image_noise
from triform.systems.text_to_image.prior import FlowPrior, Prior
from triform.systems.text_to_image.text_embedding import load_trained_encoder
from triform.text.vocabulary import tokenize

MAX_NAMED = 3
logger = get_logger(__name__)


@dataclass(frozen=True)
class Stages:
    """Stages of N generated images.

    Attributes:
        latents: Normalized latents (N, L, H, W) of the prior.
        decoded: Images (N, C, S, S) uint8 of the VAE's decoder.
        refined: Those that the generator refined.
    """

    latents: Tensor
    decoded: Tensor
    refined: Tensor


class Trained(TrainedModel[Config]):
    """A trained model in evaluation mode.

    Attributes:
        channels: 3, or 4 with transparency.
        vae: Encoder and decoder.
        prior: From text embedding to latent.
        generator: Refines decoded images.
        encoder: Text encoder.
    """

    system, config_class = "text_to_image", Config

    def __init__(self, path: Path, device: torch.device, settings: SamplingConfig | None = None):
        super().__init__(path, device)
        self._settings = settings
        self._encoder: TextEncoder | None = None

    @classmethod
    def from_settings(cls, settings: SamplingConfig) -> Trained:
        """Load the model that the settings of a verb name.

        Raises:
            UserError: There is none, or it does not fit.
        """
        return cls(cls.find(settings.checkpoint), pick_device(settings.device), settings)

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.channels = int(self.metadata["channels"])
        networks = build_networks(
            self.config.model,
            channels=self.channels,
            image_size=self.config.data.image_size,
            text_dim=int(self.metadata["text_dim"]),
            word_dim=int(self.metadata.get("word_dim", 0)),
        )
        self.vae, self.prior, self.generator = networks.vae, networks.prior, networks.generator
        return networks.by_name()

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder; loaded when it is needed.

        Raises:
            UserError: It is not that of the training, or cannot be read.
        """
        if self._encoder is None:
            model, settings = self.config.model, self._settings
            self._encoder = load_trained_encoder(
                settings.text_encoder if settings else "",
                settings.clip if settings else "",
                model.text_encoder,
                model.clip,
                str(self.metadata["text_encoder"]),
                self.source,
            )
        return self._encoder

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """Conditions of N prompts; words that no training caption had are named in a warning.

        Raises:
            UserError: A prompt is empty.
        """
        if any(not prompt.strip() for prompt in prompts):
            raise UserError("--prompt: an empty text; describe what the image shows")
        if unknown := unknown_words(prompts, self.metadata.get("vocabulary", ())):
            named = ", ".join(map(repr, map(shorten, unknown[:MAX_NAMED])))
            more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
            logger.warning(
                "words that no training caption had, so expect something else: %s%s", named, more
            )
        condition = encode_condition(self.encoder, prompts, self.config.model.max_words)
        return condition.to(self.device)

    def generate(
        self,
        text: TextCondition,
        settings: SamplingConfig,
        *,
        noise_seeds: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Images of texts.

        Args:
            text: N texts.
            settings: Sampler and refinement.
            noise_seeds: Number of the latent noise of each image; by default 0 to N - 1.

        Returns:
            Decoded and refined images, both (N, C, S, S) uint8.
        """
        seeds = range(len(text)) if noise_seeds is None else noise_seeds
        shape, seed = self.prior.shape, settings.seed
        noise = torch.stack([image_noise(shape, seed, [number]) for number in seeds])
        stages = self.stages(text, noise, settings)
        return stages.decoded, stages.refined

    @torch.inference_mode()
    def stages(self, text: TextCondition, noise: Tensor, settings: SamplingConfig) -> Stages:
        """All stages of images.

        Args:
            text: N texts.
            noise: Standard normal noise (N, L, H, W).
            settings: Sampler and refinement.
        """
        sampled, base, refined = [], [], []
        for start in range(0, len(text), settings.batch_size):
            part = slice(start, start + settings.batch_size)
            condition = text[part]
            latents = latents_of(
                self.prior,
                condition,
                noise[part].to(self.device),
                steps=settings.steps,
                guidance=settings.guidance,
            )
            sampled.append(latents.cpu())
            decoded = self.vae.decode(latents)
            output = decoded
            if settings.refine:
                output = decoded.lerp(self.generator(decoded, condition.sentence), settings.refine)
            base.append(as_bytes(decoded))
            refined.append(as_bytes(output))
        return Stages(torch.cat(sampled), torch.cat(base), torch.cat(refined))


def unknown_words(prompts: Sequence[str], vocabulary: Sequence[str]) -> list[str]:
    """Words of prompts that are not in a vocabulary, in their order; none without a vocabulary."""
    if not vocabulary:
        return []
    known = set(vocabulary)
    words = dict.fromkeys(word for prompt in prompts for word in tokenize(prompt))
    return [word for word in words if word not in known]


def latents_of(
    prior: Prior, text: TextCondition, noise: Tensor, *, steps: int, guidance: float
) -> Tensor:
    """Normalized latents (B, L, H, W) of B texts, by a flow from noise or by regression."""
    if isinstance(prior, FlowPrior):
        return prior.sample(text, noise, steps=steps, guidance=guidance)
    latents: Tensor = prior(text)
    return latents


def sample_latents(
    prior: Prior, text: TextCondition, random: torch.Generator, *, steps: int, guidance: float
) -> Tensor:
    """Normalized latents (B, L, H, W) of B texts, with noise of a generator."""
    noise = torch.randn((len(text), *prior.shape), generator=random)
    noise = noise.to(text.sentence.device)
    return latents_of(prior, text, noise, steps=steps, guidance=guidance)
