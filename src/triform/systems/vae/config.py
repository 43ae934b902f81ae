"""Settings of the VAE and of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Output, Storage
from triform.engine.config import (
    CosineSchedulerConfig,
    EarlyStoppingConfig,
    TrainingConfig,
)
from triform.tasks.image_generation.config import (
    EvaluateImagesConfig,
    GenerateImagesConfig,
    ImageSystemConfig,
    ImageVerbConfig,
)


class ModelConfig(Group):
    """Encoder, prior and decoder."""

    architecture: Literal["convolutional", "dense"] = Field(
        "convolutional", description="Convolutions, or fully connected layers."
    )
    hidden_dims: tuple[int, ...] = Field(
        (512, 512), min_length=1, description="Widths of the hidden layers of the encoder (dense)."
    )
    latent_dim: int = Field(20, ge=1, le=4096, description="Width of the latents.")
    width: int = Field(32, ge=4, le=1024, description="Channels at half the size (convolutional).")
    blocks: int = Field(1, ge=1, le=32, description="Residual blocks at each size (convolutional).")
    prior_components: int = Field(
        1, ge=1, le=1000, description="Components of the prior; 1 = the standard normal."
    )
    likelihood: Literal["bernoulli", "gaussian"] = Field(
        "bernoulli", description="Distribution of a pixel, given the latent."
    )
    sigma: float = Field(
        0.0, ge=0, le=10, description="Standard deviation of a pixel (gaussian); 0 = learned."
    )


class VaeTrainingConfig(TrainingConfig):
    """Length, learning rate and loss of the training."""

    epochs: int = 20
    lr: float = 1e-3
    beta: float = Field(1.0, ge=0, description="Weight of the KL divergence; 1 is the ELBO.")
    kl_warmup_steps: int = Field(
        0, ge=0, description="Steps in which the weight of the KL divergence rises from 0 to beta."
    )
    free_bits: float = Field(
        0.0, ge=0, description="Nats of each latent unit that are not penalised."
    )


class VaeEarlyStoppingConfig(EarlyStoppingConfig):
    """Early stopping."""

    track_overfitting: bool = Field(
        default=False,
        description="Watch train_loss - val_loss as well; with few images it grows long before "
        "the validation loss is at its best.",
    )
    overfitting_gap_threshold: float = Field(
        default=0.025,
        gt=0,
        description="A gap below minus this (nats per pixel and channel) is overfitting.",
    )


class MetricsConfig(Group):
    """Metrics of each evaluation."""

    active_variance: float = Field(
        0.01, gt=0, description="A unit whose mean varies more than this is active."
    )


class Config(ImageSystemConfig):
    """Train a variational autoencoder."""

    model: ModelConfig = ModelConfig()
    training: VaeTrainingConfig = VaeTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: VaeEarlyStoppingConfig = VaeEarlyStoppingConfig()
    metrics: MetricsConfig = MetricsConfig()

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if self.training.free_bits and self.model.prior_components > 1:
            raise ValueError(
                "free_bits: a mixture (prior_components above 1) has no KL of single units"
            )
        return self


class GenerateConfig(GenerateImagesConfig):
    """Generate new images from samples of the prior."""

    temperature: float = Field(
        1.0, ge=0, le=5, description="Scale of the prior's deviation; below 1 safer, less varied."
    )


class InterpolateConfig(ImageVerbConfig):
    """Interpolate between real images in latent space."""

    pairs: int = Field(6, ge=1, le=100, description="Rows: pairs of test images.")
    steps: int = Field(10, ge=2, le=100, description="Images between the two.")
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    output: Annotated[Path, Output(".png")] = Field(
        Path("interpolation.png"), description="PNG of the rows."
    )


class ExploreConfig(ImageVerbConfig):
    """Show the effect of single latent units, and a map of the classes."""

    units: int = Field(10, ge=1, le=1000, description="Rows: the most informative units.")
    steps: int = Field(
        9, ge=2, le=100, description="Values of each unit, within 3 standard deviations."
    )
    latent_map: Annotated[Path | None, Output(".png")] = Field(
        None, description="PNG of the latents of test images by two principal components."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    output: Annotated[Path, Output(".png")] = Field(
        Path("units.png"), description="PNG of the rows."
    )


class EvaluateConfig(EvaluateImagesConfig):
    """Measure bounds on the likelihood of test images, and generated images."""

    importance_samples: int = Field(
        100, ge=1, le=10_000, description="Latents per image for the importance-weighted bound."
    )
    importance_images: int = Field(500, ge=1, description="Test images for that bound.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "interpolate": InterpolateConfig,
    "explore": ExploreConfig,
    "evaluate": EvaluateConfig,
}
