"""Wires two kinds of pictures, four networks and their losses together; one function per verb."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UsageError
from triform.base.seeding import seed_everything
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.layers.picture_facts import PictureFacts
from triform.systems.cycle_gan.config import Config
from triform.systems.cycle_gan.data import load_domains, training_loader
from triform.systems.cycle_gan.decay import Decay
from triform.systems.cycle_gan.loss import of_discriminator, of_generators
from triform.systems.cycle_gan.model import Discriminator, Generator, smallest_size
from triform.systems.cycle_gan.pool import ImagePool
from triform.systems.cycle_gan.trained import (
    Trained,
    difference,
    evaluate,
    save_rounds,
    translate,
    translated,
)

__all__ = ["System", "evaluate", "from_checkpoint", "train", "translate"]

NUM_SAMPLES = 12


class System(EngineSystem):
    """Two generators, each the other's way back, and a discriminator for each kind."""

    name = "cycle_gan"
    # Losses of players do not say which weights are better: the newest are kept.
    monitor = "val/steps"
    monitor_mode = "max"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the networks' first weights
        self.config: Config = config
        pick_device(config.device)  # a wrong name is told before pictures are read
        self.domains = load_domains(config.data, config.seed)
        self.loader = training_loader(self.domains, config)
        training, (channels, size) = config.training, self.domains.shape
        if size < smallest_size(config.model):
            raise UsageError(
                f"image_size: pictures of {size} pixels are too small for these networks, which "
                f"need {smallest_size(config.model)}; lower --levels and --discriminator_levels"
            )
        self.networks = {
            "a2b": Generator(config.model, PictureFacts(channels, size)),
            "b2a": Generator(config.model, PictureFacts(channels, size)),
            "judge_a": Discriminator(config.model, channels),
            "judge_b": Discriminator(config.model, channels),
        }
        self.optimizers = {
            name: torch.optim.Adam(
                chain.from_iterable(self.networks[network].parameters() for network in networks),
                lr=training.lr, betas=(training.beta1, training.beta2),
                weight_decay=training.weight_decay, fused=True,
            )
            for name, networks in (
                ("generator", ("a2b", "b2a")), ("discriminator", ("judge_a", "judge_b"))
            )
        }  # fmt: skip
        total = training.epochs * len(self.loader)
        self.decay = Decay(min(total, training.max_steps or total), training.decay_start)
        self.pools = {letter: ImagePool(training.pool_size) for letter in "ab"}
        self.stateful = {
            "loader": self.loader, "decay": self.decay,
            "pool_a": self.pools["a"], "pool_b": self.pools["b"],
        }  # fmt: skip

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.decay.begin(self.optimizers.values())
        training, networks = self.config.training, self.networks
        a, b = batch["a"] * 2 - 1, batch["b"] * 2 - 1
        # Instance norm looks at each picture alone, so two tasks can share one pass.
        fake_b, same_b = networks["a2b"](torch.cat([a, b])).chunk(2)
        fake_a, same_a = networks["b2a"](torch.cat([b, a])).chunk(2)
        losses = of_generators(
            (networks["judge_a"](fake_a), networks["judge_b"](fake_b)),
            (a, b),
            (networks["b2a"](fake_b), networks["a2b"](fake_a)),
            (same_a, same_b),
            lambda_cycle=training.lambda_cycle,
            lambda_identity=training.lambda_identity,
        )
        update(losses["loss"], "generator")
        judged = [
            of_discriminator(judge(real), judge(self.pools[letter].query(fake)))
            for letter, real, fake in (("a", a, fake_a), ("b", b, fake_b))
            for judge in (networks[f"judge_{letter}"],)
        ]
        update(judged[0] + judged[1], "discriminator")
        return {**losses, "discriminator_a": judged[0], "discriminator_b": judged[1]}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Mean absolute differences of pixels in [0, 1]; of pairs where the truth is known."""
        count = self.config.metrics.num_pictures
        a, b = self.domains.a.part(split, count), self.domains.b.part(split, count)
        fake_b, fake_a = translated(self.networks["a2b"], a), translated(self.networks["b2a"], b)
        numbers = {
            "steps": float(self.decay.steps),
            "cycle_a": difference(translated(self.networks["b2a"], fake_b), a),
            "cycle_b": difference(translated(self.networks["a2b"], fake_a), b),
        }
        if self.domains.paired and split != "train":
            numbers |= {"l1_a2b": difference(fake_b, b), "l1_b2a": difference(fake_a, a)}
        return numbers

    def sample(self, folder: Path, step: int) -> None:
        """Validation pictures of both kinds, translated and back."""
        a, b = (each.part("val", NUM_SAMPLES) for each in (self.domains.a, self.domains.b))
        save_rounds(self.networks["a2b"], self.networks["b2a"], a, b, folder / f"{step:06d}.png")


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained generators in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))
