"""A trained diffusion model, and its verbs."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triform.base.errors import UsageError
from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.engine.device import autocast, pick_precision
from triform.images.grid import check_png, save_images
from triform.layers.image_spec import ImageSpec
from triform.metrics.classification_score import classification_score
from triform.systems.diffusion.config import Config, EvaluateConfig, GenerateConfig, Sampler
from triform.systems.diffusion.model import UNet
from triform.systems.diffusion.noise_schedule import NoiseSchedule
from triform.systems.diffusion.samplers import sample
from triform.tasks.image_generation.generation import (
    TrainedGenerator,
    evaluation_images,
    generation_report,
    measure_generated,
)
from triform.tasks.image_generation.image_splits import to_uint8

SHOWN_STEPS = 10


def sample_images(
    network: Callable[..., Tensor],
    schedule: NoiseSchedule,
    spec: ImageSpec,
    labels: Tensor | None,
    count: int,
    *,
    sampler: Sampler,
    steps: int,
    random: torch.Generator,
    device: torch.device,
    guidance: float = 1.0,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """Predicted images (count, C, S, S) in [-1, 1] after each step; the last are the samples.

    Classifier-free guidance (arXiv:2207.12598): 1 is the conditional model, 0 the unconditional
    one.
    """
    x = torch.randn(count, spec.channels, spec.size, spec.size, generator=random).to(device)
    classes = None if labels is None else labels.to(device)

    def predict_x0(x_t: Tensor, t: Tensor) -> Tensor:
        if classes is None or guidance == 0:
            prediction = network(x_t, t)
        elif guidance == 1:
            prediction = network(x_t, t, classes)
        else:
            null = torch.full_like(classes, len(spec.classes))
            both = network(x_t.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([classes, null]))
            conditional, unconditional = both.chunk(2)
            prediction = unconditional + guidance * (conditional - unconditional)
        return schedule.predict_x0(prediction.float(), x_t, t)

    return sample(predict_x0, schedule, x, sampler=sampler, steps=steps, random=random, eta=eta)


class Trained(TrainedGenerator[Config, GenerateConfig | EvaluateConfig]):
    """A trained diffusion model.

    Attributes:
        unet: The network.
        schedule: The noise schedule.
    """

    system = "diffusion"
    config_class = Config

    def __init__(self, path: Path, device: torch.device):
        super().__init__(path, device)
        self.schedule = NoiseSchedule.from_config(self.config.model)
        self.precision = pick_precision(self.config.training, device)

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        self.unet = UNet(self.config.model, spec)
        return {"unet": self.unet}

    def predict(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Prediction of the network, in the precision of its training if the device has it."""
        with autocast(self.device, self.precision):
            prediction: Tensor = self.unet(x, t, labels)
        return prediction

    def labels(self, names: tuple[str, ...], count: int) -> Tensor | None:
        """Classes (count,) of images, in turn; all classes if no names are given.

        Raises:
            UsageError: No such class.
        """
        classes = self.spec.classes
        if not classes:
            if names:
                raise UsageError("labels: this model was trained without classes")
            return None
        indices = [self._class_index(name) for name in names] or list(range(len(classes)))
        return torch.tensor(indices).repeat(math.ceil(count / len(indices)))[:count]

    def _class_index(self, name: str) -> int:
        classes = self.spec.classes
        lower = [each.lower() for each in classes]
        if name.lower() in lower:
            return lower.index(name.lower())
        if name.isdigit() and int(name) < len(classes):
            return int(name)
        raise UsageError(f"labels: no class {name!r}; known: {', '.join(classes[:20])}")

    def generate(self, count: int, settings: GenerateConfig | EvaluateConfig) -> Tensor:
        names = settings.labels if isinstance(settings, GenerateConfig) else ()
        labels = self.labels(names, count)
        return torch.cat([steps[-1] for steps in self.sample_batches(count, settings, labels)])

    @torch.no_grad()
    def sample_batches(
        self, count: int, settings: GenerateConfig | EvaluateConfig, labels: Tensor | None
    ) -> Iterator[list[Tensor]]:
        """Batches of uint8 images, each as predicted after some of the steps; the last is final."""
        if settings.steps > len(self.schedule):
            raise UsageError(
                f"steps: {settings.steps} is more than the {len(self.schedule)} it was trained with"
            )
        shown = set(np.linspace(0, settings.steps - 1, SHOWN_STEPS).round().astype(int).tolist())
        for start in range(0, count, settings.batch_size):
            size = min(settings.batch_size, count - start)
            predictions = sample_images(
                self.predict,
                self.schedule,
                self.spec,
                None if labels is None else labels[start : start + size],
                size,
                sampler=settings.sampler,
                steps=settings.steps,
                random=generator("generate", settings.seed, start),
                device=self.device,
                guidance=settings.guidance,
                eta=settings.eta,
            )
            description = f"images {start + 1} to {start + size}"
            progress = progress_bar(predictions, desc=description, total=settings.steps)
            yield [
                stretch_contrast(x, settings.stretch)
                for step, x in enumerate(progress)
                if step in shown
            ]


def stretch_contrast(x: Tensor, share: float) -> Tensor:
    """Images in [-1, 1] as uint8, with their contrast stretched about grey.

    Black pixels are predicted 1 to 4 of 255 too bright, never too dark (predictions are clipped at
    -1). That is invisible, but a feature network reacts to it.
    """
    return to_uint8((x * (1 + share) + 1) / 2)


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Generate images.

    Raises:
        UsageError: No such class, or more steps than were trained.
        UserError: No such weights.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    if settings.show_steps:
        check_png(settings.output)
    labels = model.labels(settings.labels, settings.num_samples)
    batches = list(model.sample_batches(settings.num_samples, settings, labels))
    if settings.show_steps:
        steps = torch.cat([torch.stack(states, 1) for states in batches])
        images, columns = steps.flatten(0, 1), steps.shape[1]
    else:
        images = torch.cat([states[-1] for states in batches])
        columns = 0 if settings.labels else len(model.spec.classes)
    files = save_images(images.numpy(), settings.output, columns)
    return generation_report(model, settings, files, images.numpy())


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure images generated for all classes in turn against test images.

    Raises:
        UsageError: More steps than were trained.
        UserError: No such weights, or the real images cannot be read.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    splits = evaluation_images(model, settings)
    labels = model.labels((), settings.num_samples)
    scored = settings.classification_score
    if scored and (labels is None or splits.classes != model.spec.classes):
        raise UsageError("classification_score: the model knows other classes than the data")
    generated, quality = measure_generated(model, settings, splits)
    report = {
        "checkpoint": str(model.source),
        "data": splits.name,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "guidance": settings.guidance,
        **quality,
    }
    if scored and labels is not None:
        rows = splits.rows["test"]
        report["classification_score"] = classification_score(
            generated, labels, splits.images[rows], splits.labels[rows]
        )
    return report
