"""The DCGAN: training, trained generator, and verbs."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from triform.layers.image_spec import ImageSpec
from triform.systems.dcgan.config import Config
from triform.systems.dcgan.model import Discriminator, Generator
from triform.tasks.image_generation import generation
from triform.tasks.image_generation.config import EvaluateImagesConfig, GenerateImagesConfig
from triform.tasks.image_generation.system import GanSystem


class System(GanSystem[Config]):
    """Training of a convolutional generator and discriminator."""

    name = "dcgan"

    def build(self, spec: ImageSpec) -> tuple[nn.Module, nn.Module]:
        model = self.config.model
        return Generator(model, spec), Discriminator(model, spec)


class Trained(generation.TrainedGan[Config, GenerateImagesConfig | EvaluateImagesConfig]):
    """A trained generator."""

    system = "dcgan"
    config_class = Config

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        self.generator = Generator(self.config.model, spec)
        return {"generator": self.generator}


def generate(settings: GenerateImagesConfig) -> dict[str, Any]:
    """Generate images.

    Raises:
        UserError: No such weights.
    """
    return generation.generate(Trained.choose(settings.checkpoint, settings.device), settings)


def evaluate(settings: EvaluateImagesConfig) -> dict[str, Any]:
    """Measure generated images against test images.

    Raises:
        UserError: No such weights, or the real images cannot be read.
    """
    return generation.evaluate(Trained.choose(settings.checkpoint, settings.device), settings)
