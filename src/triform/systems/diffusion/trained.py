"""A trained diffusion model, and what its verbs do with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from triform.base.errors import UsageError
from triform.base.seeding import generator
from triform.datasets.picture_batches import as_pixels, real_pictures
from triform.engine.checkpoint import StateDicts
from triform.engine.device import autocast, pick_precision
from triform.engine.trained import TrainedModel
from triform.images.grid import save_pictures
from triform.layers.picture_facts import class_names, picture_shape, read_facts
from triform.metrics.classification_score import classification_score
from triform.metrics.nearest_sheet import save_beside_nearest
from triform.metrics.picture_quality import picture_quality
from triform.systems.diffusion.config import (
    Config,
    EvaluateConfig,
    GenerateConfig,
    ModelConfig,
    Sampler,
)
from triform.systems.diffusion.model import UNet
from triform.systems.diffusion.noise import NoiseChain, cosine_betas, linear_betas
from triform.systems.diffusion.samplers import sample

SHOWN_STEPS = 10

Look = Callable[..., Tensor]
"""The network: of x_t, t and perhaps labels."""


def build_chain(model: ModelConfig) -> NoiseChain:
    """The chain that a configuration asks for."""
    if model.beta_schedule == "cosine":
        return NoiseChain(cosine_betas(model.timesteps), model.objective)
    betas = linear_betas(model.timesteps, model.beta_start, model.beta_end)
    return NoiseChain(betas, model.objective)


def generated(
    network: Look,
    chain: NoiseChain,
    shape: tuple[int, int],
    labels: Tensor | None,
    count: int,
    *,
    sampler: Sampler,
    steps: int,
    random: torch.Generator,
    device: torch.device,
    guidance: float = 1.0,
    eta: float = 0.0,
    num_classes: int = 0,
) -> Iterator[Tensor]:
    """Pictures (count, C, S, S) in [-1, 1] as they are believed after each step.

    Guidance: arXiv:2207.12598; 1 is the conditional model, 0 the unconditional one.
    """
    channels, size = shape
    x = torch.randn(count, channels, size, size, generator=random).to(device)
    wanted = None if labels is None else labels.to(device)

    def believe(x_t: Tensor, t: Tensor) -> Tensor:
        if wanted is None or guidance == 0:
            said = network(x_t, t)
        elif guidance == 1:
            said = network(x_t, t, wanted)
        else:
            free = torch.full_like(wanted, num_classes)
            both = network(x_t.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([wanted, free]))
            strict, loose = both.chunk(2)
            said = loose + guidance * (strict - loose)
        return chain.picture(said.float(), x_t, t)

    return sample(believe, chain, x, sampler=sampler, steps=steps, random=random, eta=eta)


class Trained(TrainedModel[Config]):
    """A trained diffusion model in evaluation mode.

    Attributes:
        network: The network.
        shape: Channels and size of its pictures.
        classes: Names of the classes that it can be told; empty where it knows none.
    """

    system = "diffusion"
    config_class = Config

    def __init__(self, path: Path, device: torch.device):
        super().__init__(path, device)
        self.chain = build_chain(self.config.model)
        self.precision = pick_precision(self.config.training, device)

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        facts = read_facts(tensors["unet"])
        self.shape, self.classes = picture_shape(facts), class_names(facts)
        self.network = UNet(self.config.model, facts)
        return {"unet": self.network}

    def look(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the network says, in the number format of its training where the device has it."""
        with autocast(self.device, self.precision):
            said: Tensor = self.network(x, t, labels)
        return said

    def labels(self, wanted: tuple[str, ...], count: int) -> Tensor | None:
        """Classes of so many pictures, in turn.

        Raises:
            UsageError: No such class.
        """
        if not self.classes:
            if wanted:
                raise UsageError("labels: this model was trained without classes")
            return None
        numbers = [self._number(name) for name in wanted] or list(range(len(self.classes)))
        return torch.tensor(numbers).repeat(math.ceil(count / len(numbers)))[:count]

    def _number(self, name: str) -> int:
        if name in self.classes:
            return self.classes.index(name)
        if name.isdigit() and int(name) < len(self.classes):
            return int(name)
        shown = ", ".join(self.classes[:20])
        raise UsageError(f"labels: no class {name!r}; known: {shown}")

    @torch.no_grad()
    def draw(self, count: int, settings: Any, labels: Tensor | None) -> Iterator[list[Tensor]]:
        """Batches of pictures uint8, each as it stands after a few of the steps; last is best."""
        if settings.steps > len(self.chain):
            raise UsageError(
                f"steps: {settings.steps} is more than the {len(self.chain)} it was trained with"
            )
        for start in range(0, count, settings.batch_size):
            size = min(settings.batch_size, count - start)
            chosen = None if labels is None else labels[start : start + size]
            states = generated(
                self.look, self.chain, self.shape, chosen, size, device=self.device,
                sampler=settings.sampler, steps=settings.steps, eta=settings.eta,
                guidance=settings.guidance, num_classes=len(self.classes),
                random=generator("generate", settings.seed, start),
            )  # fmt: skip
            kept = set(np.linspace(0, settings.steps - 1, SHOWN_STEPS).round().astype(int).tolist())
            bar = tqdm(states, f"pictures {start + 1} to {start + size}", settings.steps,
                       disable=None, leave=False)  # fmt: skip
            yield [stretched(x, settings.stretch) for number, x in enumerate(bar) if number in kept]


def stretched(x: Tensor, share: float) -> Tensor:
    """Pictures in [-1, 1] as pixels, their brightness stretched about grey.

    Where a picture is black the network says 1 to 4 of 255 too much, never too little (what it
    believes is cut off at -1). Nobody sees that, but a feature network does.
    """
    return as_pixels((x * (1 + share) + 1) / 2)


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Make pictures.

    Raises:
        UsageError: No such class, or more steps than were trained.
        UserError: No such weights.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    if settings.chain and settings.output.suffix.lower() != ".png":
        raise UsageError(f"chain: --output {settings.output} must be a .png")
    labels = trained.labels(settings.labels, settings.num_samples)
    batches = list(trained.draw(settings.num_samples, settings, labels))
    if settings.chain:
        rows = torch.cat([torch.stack(states, 1) for states in batches])
        columns = rows.shape[1]
        files = save_pictures(rows.flatten(0, 1).numpy(), settings.output, columns)
    else:
        made = torch.cat([states[-1] for states in batches])
        columns = len(trained.classes) if labels is not None and not settings.labels else 0
        files = save_pictures(made.numpy(), settings.output, columns)
    return {"checkpoint": str(trained.source), "pictures": settings.num_samples,
            "output": str(settings.output), "files": len(files)}  # fmt: skip


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure pictures made for all classes alike against test pictures.

    Raises:
        UsageError: More steps than were trained.
        UserError: No such weights, or the real pictures cannot be brought.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    pictures = real_pictures(trained.config.data, settings, trained.config.seed)
    labels = trained.labels((), settings.num_samples)
    began = time.perf_counter()
    made = torch.cat(
        [states[-1] for states in trained.draw(settings.num_samples, settings, labels)]
    )
    seconds = time.perf_counter() - began
    train = pictures.part("train")
    if settings.output is not None:
        save_beside_nearest(made, train, settings.output)
    real = pictures.part("test", settings.num_samples)
    scores = {}
    if settings.classification_score:
        if labels is None or pictures.classes != trained.classes:
            raise UsageError("classification_score: the model knows other classes than the data")
        rows = pictures.rows["test"]
        scores["classification_score"] = classification_score(
            made, labels, pictures.images[rows], pictures.labels[rows]
        )
    return {
        "checkpoint": str(trained.source), "data": pictures.name, "pictures": len(made),
        "sampler": settings.sampler, "steps": settings.steps, "guidance": settings.guidance,
        "milliseconds_per_picture": 1000 * seconds / len(made),
        **picture_quality(made, real, train, inception_weights=settings.inception_weights),
        **scores,
    }  # fmt: skip
