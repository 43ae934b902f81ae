"""Training of CycleGAN; its verbs are in `trained.py` and `evaluation.py`."""

from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UsageError
from triform.engine import protocol
from triform.engine.update import Update
from triform.layers.image_spec import ImageSpec
from triform.systems.cycle_gan.config import Config
from triform.systems.cycle_gan.data import load_domains, training_loader
from triform.systems.cycle_gan.evaluation import evaluate, l1_distance
from triform.systems.cycle_gan.image_pool import ImagePool
from triform.systems.cycle_gan.loss import discriminator_loss, generator_loss
from triform.systems.cycle_gan.lr_decay import linear_decay
from triform.systems.cycle_gan.model import Discriminator, Generator, min_image_size
from triform.systems.cycle_gan.trained import Trained, save_cycles, translate, translate_images

__all__ = ["System", "Trained", "evaluate", "translate"]

NUM_SAMPLES = 12


class System(protocol.System[Config]):
    """Training of two generators, one for each direction, and a discriminator for each domain."""

    name = "cycle_gan"
    # Adversarial losses do not tell which weights are better: the newest are kept.
    monitor = "val/steps"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        self.domains = load_domains(config.data, config.seed)
        self.loader = training_loader(self.domains, config)
        self.spec = ImageSpec(*self.domains.shape)
        model, training = config.model, config.training
        if self.spec.size < min_image_size(model):
            raise UsageError(
                f"image_size: images of {self.spec.size} pixels are too small for these networks, "
                f"which need {min_image_size(model)}; lower --levels and --discriminator_levels"
            )
        self.networks = {
            "a2b": Generator(model, self.spec),
            "b2a": Generator(model, self.spec),
            "discriminator_a": Discriminator(model, self.spec.channels),
            "discriminator_b": Discriminator(model, self.spec.channels),
        }
        self.optional_networks = ("discriminator_a", "discriminator_b")
        self.optimizers = {
            "generator": self._adam("a2b", "b2a"),
            "discriminator": self._adam("discriminator_a", "discriminator_b"),
        }
        total = training.epochs * len(self.loader)
        self.total_steps = min(total, training.max_steps or total)
        self.pools = {letter: ImagePool(training.pool_size) for letter in "ab"}
        self.stateful = {f"pool_{letter}": pool for letter, pool in self.pools.items()}

    def _adam(self, *names: str) -> torch.optim.Adam:
        training = self.config.training
        return torch.optim.Adam(
            chain.from_iterable(self.networks[name].parameters() for name in names),
            lr=training.lr,
            betas=(training.beta1, training.beta2),
            weight_decay=training.weight_decay,
            fused=True,
        )

    def metadata(self) -> dict[str, Any]:
        return self.spec.metadata()

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        training, networks = self.config.training, self.networks
        factor = linear_decay(self.num_steps, self.total_steps, training.decay_start)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= factor  # the engine has just set it
        a, b = batch["a"] * 2 - 1, batch["b"] * 2 - 1
        # Instance norm is computed for each image alone, so two tasks can share one pass.
        fake_b, identity_b = networks["a2b"](torch.cat([a, b])).chunk(2)
        fake_a, identity_a = networks["b2a"](torch.cat([b, a])).chunk(2)
        losses = generator_loss(
            (networks["discriminator_a"](fake_a), networks["discriminator_b"](fake_b)),
            (a, b),
            (networks["b2a"](fake_b), networks["a2b"](fake_a)),
            (identity_a, identity_b),
            lambda_cycle=training.lambda_cycle,
            lambda_identity=training.lambda_identity,
        )
        update(losses["loss"], "generator")
        discriminator_losses = {}
        for letter, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            discriminator = networks[f"discriminator_{letter}"]
            discriminator_losses[f"discriminator_{letter}"] = discriminator_loss(
                discriminator(real), discriminator(self.pools[letter].query(fake))
            )
        loss_a, loss_b = discriminator_losses.values()
        update(loss_a + loss_b, "discriminator")
        return {**losses, **discriminator_losses}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Mean absolute errors of cycles, and of translations if the true ones are known."""
        count = self.config.metrics.num_images
        a, b = self.domains.a.part(split, count), self.domains.b.part(split, count)
        a2b, b2a = self.networks["a2b"], self.networks["b2a"]
        fake_b, fake_a = translate_images(a2b, a), translate_images(b2a, b)
        metrics = {
            "steps": float(self.num_steps),
            "cycle_a": l1_distance(translate_images(b2a, fake_b), a),
            "cycle_b": l1_distance(translate_images(a2b, fake_a), b),
        }
        if self.domains.paired and split != "train":
            metrics |= {"l1_a2b": l1_distance(fake_b, b), "l1_b2a": l1_distance(fake_a, a)}
        return metrics

    def sample(self, folder: Path, step: int) -> None:
        """Save validation images of both domains, translated and back."""
        a, b = (domain.part("val", NUM_SAMPLES) for domain in (self.domains.a, self.domains.b))
        save_cycles(self.networks["a2b"], self.networks["b2a"], a, b, folder / f"{step:06d}.png")
