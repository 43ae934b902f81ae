"""The style-based GAN: training, trained generator, and verbs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UsageError
from triform.base.seeding import generator
from triform.engine.processes import process_count
from triform.images.grid import check_png, save_images
from triform.layers.image_spec import ImageSpec
from triform.systems.style_gan.config import Config, EvaluateConfig, GenerateConfig, MixConfig
from triform.systems.style_gan.model import Discriminator, Generator
from triform.systems.style_gan.progressive import progress_at, reduced
from triform.tasks.image_generation import generation
from triform.tasks.image_generation.image_splits import to_uint8
from triform.tasks.image_generation.system import GanSystem


class System(GanSystem[Config]):
    """Training of a style-based generator and its discriminator."""

    name = "style_gan"
    generator: Generator

    def build(self, spec: ImageSpec) -> tuple[nn.Module, nn.Module]:
        model = self.config.model
        if model.progressive_steps and process_count() > 1:
            raise UsageError(
                "progressive_steps: networks that grow train in one process; leave it out"
            )
        self.discriminator = Discriminator(model, spec)
        return Generator(model, spec), self.discriminator

    def real_images(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Real images in [-1, 1], at the size that progressive growing has reached."""
        images, network = super().real_images(batch), self.generator
        if not (steps := self.config.model.progressive_steps):
            return images
        for grown in (network, self.discriminator):
            grown.progress.fill_(progress_at(self.num_steps, steps, network.levels))
        return reduced(images, float(network.progress), network.levels, network.base)

    def fake_images(self, count: int) -> Tensor:
        """Generated images with style mixing (arXiv:1812.04948, section 3.1)."""
        num_layers, device = self.generator.num_layers, self.device
        z, mixing_z = torch.randn(2, count, self.config.model.latent_dim, device=device).unbind()
        crossover = torch.randint(1, num_layers, (count,), device=device)
        mixed = torch.rand(count, device=device) < self.config.training.mixing
        output: Tensor = self.networks["generator"](
            z, mixing_z, crossover.masked_fill(~mixed, num_layers)
        )
        return output

    def generate(self, z: Tensor) -> Tensor:
        return generation.generate_images(self.generator.generate, z)


class Trained(generation.TrainedGan[Config, GenerateConfig | EvaluateConfig]):
    """A trained generator."""

    system = "style_gan"
    config_class = Config
    generator: Generator

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        self.generator = Generator(self.config.model, spec)
        return {"generator": self.generator}

    def generate(self, count: int, settings: GenerateConfig | EvaluateConfig) -> Tensor:
        torch.manual_seed(settings.seed)  # noise of the layers
        network = partial(self.generator.generate, truncation=settings.truncation)
        return generation.generate_images(
            network, self.latents(count, settings), settings.batch_size
        )

    @torch.no_grad()
    def mix(self, settings: MixConfig) -> Tensor:
        """Table of images (rows + 1, columns + 1, C, S, S) uint8 with a white corner.

        Its first column has the coarse styles, its first row the fine ones, each cell both.
        """
        network = self.generator
        torch.manual_seed(settings.seed)
        random = generator("mix", settings.seed)
        count = settings.rows + settings.columns
        z = torch.randn(count, self.config.model.latent_dim, generator=random)
        w = network.truncate(network.mapping(z.to(self.device)), settings.truncation)
        styles = network.broadcast(w)
        coarse, fine = styles[: settings.rows], styles[settings.rows :]
        crossover = settings.crossover or (network.num_layers + 1) // 2
        crossed = torch.stack([coarse] * settings.columns, 1).clone()
        crossed[:, :, crossover:] = fine[None, :, crossover:]
        first_column, first_row, *cells = (
            to_uint8((network.synthesis(batch) + 1) / 2) for batch in (coarse, fine, *crossed)
        )
        corner = torch.full_like(first_column[:1], 255)
        rows = [
            torch.cat([first[None], row]) for first, row in zip(first_column, cells, strict=True)
        ]
        return torch.stack([torch.cat([corner, first_row]), *rows])


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Generate images.

    Raises:
        UserError: No such weights.
    """
    return generation.generate(Trained.choose(settings.checkpoint, settings.device), settings)


def mix(settings: MixConfig) -> dict[str, Any]:
    """Cross coarse with fine styles.

    Raises:
        UsageError: The crossover lies behind the last layer.
        UserError: No such weights.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    if settings.crossover >= (layers := model.generator.num_layers):
        raise UsageError(f"crossover: {settings.crossover}, but there are layers 0 to {layers - 1}")
    check_png(settings.output)
    table = model.mix(settings)
    pixels = table.flatten(0, 1).numpy()
    save_images(pixels, settings.output, table.shape[1])
    return {
        "checkpoint": str(model.source),
        "rows": settings.rows,
        "columns": settings.columns,
        "output": str(settings.output),
        "pixels": pixels,
    }


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure generated images against test images.

    Raises:
        UserError: No such weights, or the real images cannot be read.
    """
    return generation.evaluate(Trained.choose(settings.checkpoint, settings.device), settings)
