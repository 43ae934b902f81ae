"""Base classes of the training of image generators."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.engine.protocol import System
from triform.engine.update import Update
from triform.images.grid import save_images
from triform.layers.image_spec import ImageSpec
from triform.losses.gan import (
    R1_INTERVAL,
    R1_NOT_SHARDED,
    discriminator_loss,
    generator_loss,
    lazy_r1,
)
from triform.losses.gan_monitor import GanMonitor
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.image_features import image_features
from triform.tasks.image_generation.config import GanConfig, ImageSystemConfig
from triform.tasks.image_generation.generation import generate_images
from triform.tasks.image_generation.image_splits import ImageSplits

NUM_SAMPLES = 64

ImageConfigT = TypeVar("ImageConfigT", bound=ImageSystemConfig)
GanConfigT = TypeVar("GanConfigT", bound=GanConfig)


class ImageSystem(System[ImageConfigT]):
    """A system that trains on images and their classes.

    Batches:

    | key | shape and type | values |
    |---|---|---|
    | `images` | (B, C, H, W) float32 | [0, 1] |
    | `labels` | (B) int64 | index of the class |

    Attributes:
        splits: The images, divided into training, validation and test.
        spec: Shape of the images; saved with the weights.
    """

    def __init__(self, config: ImageConfigT):
        super().__init__(config)
        self.splits = ImageSplits(config.data, config.seed)
        self.spec = ImageSpec(*self.splits.shape)
        self.loader = self.splits.loader(config)

    def metadata(self) -> dict[str, Any]:
        return self.spec.metadata()


class GanSystem(ImageSystem[GanConfigT]):
    """Adversarial training of a generator and a discriminator (arXiv:1406.2661), with lazy R1.

    A subclass builds the two networks and, where it differs from one latent vector per image,
    overrides `real_images`, `fake_images` and `generate`.
    """

    monitor = "val/kernel_distance"
    optional_networks = ("discriminator",)

    def __init__(self, config: GanConfigT):
        super().__init__(config)
        self.gan_monitor = GanMonitor()
        self.stateful = {"gan_monitor": self.gan_monitor}
        self.generator, discriminator = self.build(self.spec)
        self.networks = {"generator": self.generator, "discriminator": discriminator}
        training = config.training
        rates = {"generator": training.lr, "discriminator": training.discriminator_lr}
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                lr=rates[name] or training.lr,
                betas=(training.beta1, training.beta2),
                weight_decay=training.weight_decay,
                fused=True,
            )
            for name, network in self.networks.items()
        }
        self._real_features: Tensor | None = None

    @abstractmethod
    def build(self, spec: ImageSpec) -> tuple[nn.Module, nn.Module]:
        """Generator and discriminator of images in [-1, 1]."""

    @property
    def why_not_sharded(self) -> str:
        return R1_NOT_SHARDED if self.config.training.r1 > 0 else ""

    def generate(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) uint8 of latent vectors (N, latent_dim)."""
        return generate_images(self.generator, z)

    def latents(self, count: int, random: torch.Generator | None = None) -> Tensor:
        """Latent vectors (count, latent_dim) from N(0, I)."""
        shape = (count, self.config.model.latent_dim)
        if random is None:
            return torch.randn(shape, device=self.device)
        return torch.randn(shape, generator=random).to(self.device)

    def real_images(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Real images in [-1, 1] of a training step; called before `fake_images`."""
        return batch["images"] * 2 - 1

    def fake_images(self, count: int) -> Tensor:
        """Generated images (count, C, S, S) in [-1, 1] of a training step."""
        output: Tensor = self.networks["generator"](self.latents(count))
        return output

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        training, discriminator = self.config.training, self.networks["discriminator"]
        real = self.real_images(batch)
        fake = self.fake_images(len(real))
        applies_r1 = training.r1 > 0 and self.gan_monitor.steps % R1_INTERVAL == 0
        real.requires_grad_(applies_r1)
        # Real and fake images in separate batches: batch norm of a mixed one would tell them apart.
        # The penalty is a gradient of a gradient, in float32 whatever the rest is in.
        with torch.autocast(real.device.type, enabled=False) if applies_r1 else nullcontext():
            real_logits = discriminator(real)
        fake_logits = discriminator(fake.detach())
        loss = discriminator_loss(real_logits, fake_logits)
        if applies_r1:
            loss = loss + lazy_r1(real_logits, real, training.r1)
        update(loss, "discriminator")
        adversarial = generator_loss(discriminator(fake), saturating=training.saturating)
        update(adversarial, "generator")
        monitored = self.gan_monitor.update(real, fake, real_logits, fake_logits, adversarial)
        return {"loss": loss, "discriminator": loss, "generator": adversarial, **monitored}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Kernel distance of generated images to validation images."""
        if split == "train":
            return {}
        count = self.config.metrics.num_samples
        if self._real_features is None:
            self._real_features = image_features(self.splits.reference("val", count))
        features = image_features(self.generate(self.latents(count, generator("evaluate", split))))
        distance, deviation = kernel_distance(features, self._real_features, subsets=20)
        return {"kernel_distance": distance, "kernel_distance_std": deviation}

    def sample(self, folder: Path, step: int) -> None:
        """Save images of the same latent vectors each time."""
        images = self.generate(self.latents(NUM_SAMPLES, generator("sample")))
        save_images(images.numpy(), folder / f"{step:06d}.png")
