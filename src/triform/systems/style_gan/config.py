"""Settings of the style-based GAN and of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.base.settings.path_role import Output
from triform.tasks.image_generation.config import (
    EvaluateImagesConfig,
    GanConfig,
    GanTrainingConfig,
    GenerateImagesConfig,
    ImageDataConfig,
    ImageVerbConfig,
    LatentConfig,
)


class DataConfig(ImageDataConfig):
    """Data set and batches."""

    batch_size: int = Field(64, ge=2, description="Images per step, in each process.")


class ModelConfig(LatentConfig):
    """Mapping network, synthesis network and discriminator."""

    latent_dim: int = Field(64, ge=1, le=4096, description="Width of z and of the style w.")
    mapping_layers: int = Field(4, ge=1, le=16, description="Layers from z to w.")
    mapping_rate: float = Field(
        0.1, gt=0, le=1, description="Learning rate of the mapping network, times lr."
    )
    width: int = Field(16, ge=4, le=1024, description="Channels at the size of the image.")
    modulation: Literal["demodulated", "adain"] = Field(
        "demodulated",
        description="Effect of a style: on the weights (StyleGAN 2), or by AdaIN (StyleGAN).",
    )
    noise: bool = Field(True, description="Add noise to every pixel of each layer.")
    progressive_steps: int = Field(
        0,
        ge=0,
        description="Progressive growing: steps of the lowest size alone, then of each fade to "
        "twice the size, and of each new size; 0 = all sizes from the start.",
    )


class StyleTrainingConfig(GanTrainingConfig):
    """Length, learning rates and losses of the training."""

    epochs: int = 15
    lr: float = Field(2e-3, gt=0, description="Learning rate of both networks.")
    beta1: float = Field(0.0, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Second moment of Adam.")
    r1: float = Field(0.5, ge=0, description="Weight of the gradient penalty on real images.")
    mixing: float = Field(
        0.5, ge=0, le=1, description="Share of training images generated from two styles."
    )


class Config(GanConfig):
    """Train a style-based GAN."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: StyleTrainingConfig = StyleTrainingConfig()


class GenerateConfig(GenerateImagesConfig):
    """Generate new images."""

    truncation: float = Field(
        1.0, ge=0, le=1, description="Below 1 closer to the average style: safer, less varied."
    )


class EvaluateConfig(EvaluateImagesConfig):
    """Measure generated images against held-out real ones."""

    truncation: float = Field(1.0, ge=0, le=1, description="Below 1 closer to the average style.")


class MixConfig(ImageVerbConfig):
    """Mix coarse and fine styles of generated images in a table."""

    rows: int = Field(6, ge=1, le=50, description="Images that give the coarse styles.")
    columns: int = Field(8, ge=1, le=50, description="Images that give the fine styles.")
    crossover: int = Field(
        0, ge=0, le=64, description="First layer that takes the fine style; 0 = the middle one."
    )
    truncation: float = Field(0.8, ge=0, le=1, description="Below 1 closer to the average style.")
    output: Annotated[Path, Output(".png")] = Field(
        Path("mixed.png"), description="PNG of the table."
    )


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "mix": MixConfig,
    "evaluate": EvaluateConfig,
}
