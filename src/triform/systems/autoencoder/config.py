"""Settings of the autoencoder and of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Output
from triform.engine.config import CosineSchedulerConfig, TrainingConfig
from triform.tasks.image_generation.config import ImageSystemConfig, RealImagesConfig

Objective = Literal["plain", "denoising", "sparse"]


class ModelConfig(Group):
    """Encoder and decoder."""

    architecture: Literal["dense", "convolutional"] = Field(
        "dense", description="Fully connected layers, or convolutions."
    )
    hidden_dims: tuple[int, ...] = Field(
        (512, 256), min_length=1, description="Widths of the hidden layers of the encoder (dense)."
    )
    latent_dim: int = Field(32, ge=1, le=4096, description="Width of the latents.")
    width: int = Field(
        32, ge=4, le=1024, description="Channels at half the size of the image (convolutional)."
    )
    blocks: int = Field(1, ge=1, le=32, description="Residual blocks at each size (convolutional).")


class AutoencoderTrainingConfig(TrainingConfig):
    """Length, learning rate and loss of the training."""

    epochs: int = 20
    objective: Objective = Field(
        "plain",
        description="plain: reconstruct the image; denoising: the clean image from a noisy one; "
        "sparse: with few large latents.",
    )
    noise_factor: float = Field(
        0.3, ge=0, le=5, description="Standard deviation of the input noise (denoising)."
    )
    sparsity: float = Field(
        1e-3, ge=0, description="Weight of the mean magnitude of the latents (sparse)."
    )
    error: Literal["squared", "absolute"] = Field(
        "squared", description="Error of each pixel that is minimised."
    )


class MetricsConfig(Group):
    """Metrics of each evaluation."""

    num_images: int = Field(3000, ge=1, description="Images of an evaluation in training.")


class Config(ImageSystemConfig):
    """Train an autoencoder."""

    model: ModelConfig = ModelConfig()
    training: AutoencoderTrainingConfig = AutoencoderTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    metrics: MetricsConfig = MetricsConfig()


class ReconstructConfig(RealImagesConfig):
    """Show images above their reconstructions."""

    num_samples: int = Field(30, ge=1, le=1000, description="Number of images.")
    noise_factor: float = Field(
        -1.0, ge=-1, le=5, description="Noise of the inputs; -1 = as in training."
    )
    latent_map: Annotated[Path | None, Output(".png")] = Field(
        None, description="PNG of the latents of test images by two principal components."
    )
    output: Annotated[Path, Output(".png")] = Field(
        Path("reconstructions.png"), description="PNG of the sheet."
    )


class EvaluateConfig(RealImagesConfig):
    """Measure reconstructions of test images, beside principal components."""

    num_samples: int = Field(10_000, ge=10, description="Test images.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "reconstruct": ReconstructConfig,
    "evaluate": EvaluateConfig,
}
