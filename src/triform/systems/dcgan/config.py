"""Settings of the DCGAN and of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.tasks.image_generation.config import (
    EvaluateImagesConfig,
    GanConfig,
    GenerateImagesConfig,
    LatentConfig,
)


class ModelConfig(LatentConfig):
    """Generator and discriminator."""

    width: int = Field(32, ge=4, le=1024, description="Channels at the size of the image.")
    discriminator_norm: Literal["spectral", "batch", "none"] = Field(
        "spectral", description="Normalisation of the discriminator."
    )


class Config(GanConfig):
    """Train a DCGAN."""

    model: ModelConfig = ModelConfig()


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateImagesConfig,
    "evaluate": EvaluateImagesConfig,
}
