"""Training of the diffusion model; its verbs are in `trained.py`."""

from pathlib import Path

import torch
from torch import Tensor

from triform.base.seeding import generator
from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.images.grid import save_images
from triform.layers.image_spec import ImageSpec
from triform.systems.diffusion.config import Config
from triform.systems.diffusion.loss import diffusion_loss
from triform.systems.diffusion.model import UNet
from triform.systems.diffusion.noise_schedule import NoiseSchedule
from triform.systems.diffusion.trained import Trained, evaluate, generate, sample_images
from triform.tasks.image_generation.image_splits import to_float, to_uint8
from triform.tasks.image_generation.system import ImageSystem

__all__ = ["System", "Trained", "evaluate", "generate"]

EVALUATION_IMAGES = 500
MIN_EVALUATIONS = 60
NUM_SAMPLES, SAMPLE_STEPS = 40, 20


class System(ImageSystem[Config]):
    """Training of a denoising diffusion model, with or without classes."""

    name = "diffusion"

    def __init__(self, config: Config):
        super().__init__(config)
        classes = self.splits.classes if config.model.conditional else ()
        self.spec = ImageSpec(*self.splits.shape, classes if len(classes) > 1 else ())
        self.unet = UNet(config.model, self.spec)
        self.schedule = NoiseSchedule.from_config(config.model)
        self.networks = {"unet": self.unet}
        self.optimizers = {"main": adamw(self.unet.parameters(), config.training)}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        x_0, labels = batch["images"] * 2 - 1, batch["labels"]
        t = torch.randint(len(self.schedule), (len(x_0),), device=x_0.device)
        dropped = torch.rand(len(x_0), device=x_0.device) < self.config.model.label_dropout
        labels = labels.masked_fill(dropped, self.unet.num_classes)
        losses = self._losses(x_0, labels, t, torch.randn_like(x_0))
        update(losses["loss"])
        return losses

    def _losses(self, x_0: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        x_t = self.schedule.add_noise(x_0, t, noise)
        prediction = self.networks["unet"](x_t, t, labels if self.unet.num_classes else None)
        return diffusion_loss(prediction, self.schedule.target(x_0, t, noise))

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The loss at fixed noise levels, with the same noise each time."""
        rows = self.splits.rows[split][:EVALUATION_IMAGES]
        random = generator("evaluate", split)
        last = len(self.schedule) - 1
        levels = torch.linspace(0, last, self.config.metrics.levels).round().long()
        # A few images are measured several times, at the next level each time.
        indices = torch.arange(max(len(rows), MIN_EVALUATIONS))
        positions, times = indices % len(rows), indices // len(rows)
        t, rows = levels[(positions + times) % len(levels)], rows[positions]
        total = 0.0
        for indices in torch.split(torch.arange(len(rows)), 100):
            images = to_float(self.splits.images[rows[indices]]) * 2 - 1
            noise = torch.randn(images.shape, generator=random)
            batch = (images, self.splits.labels[rows[indices]], t[indices], noise)
            losses = self._losses(*(tensor.to(self.device) for tensor in batch))
            total += float(losses["loss"]) * len(indices)
        return {"loss": total / len(rows)}

    def sample(self, folder: Path, step: int) -> None:
        """Save images of all classes in turn."""
        num_classes = self.unet.num_classes
        labels = torch.arange(NUM_SAMPLES) % num_classes if num_classes else None
        *_, images = sample_images(
            self.unet,
            self.schedule,
            self.spec,
            labels,
            NUM_SAMPLES,
            sampler="dpm",
            steps=min(SAMPLE_STEPS, len(self.schedule)),
            device=self.device,
            random=generator("sample"),
        )
        columns = min(num_classes, 20)
        save_images(to_uint8((images + 1) / 2).numpy(), folder / f"{step:06d}.png", columns)
