"""Every knob of the autoencoder, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from triform.base.config import Group, Settings
from triform.datasets.picture_settings import PictureDataConfig, PictureVerbConfig
from triform.engine.config import (
    EarlyStoppingConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)

Objective = Literal["plain", "denoising", "sparse"]


class ModelConfig(Group):
    """Encoder, code and decoder."""

    architecture: Literal["dense", "convolutional"] = Field(
        "dense", description="Layers that see all pixels at once, or convolutions."
    )
    hidden_dims: tuple[int, ...] = Field(
        (512, 256), min_length=1, description="Widths between picture and code (dense)."
    )
    latent_dim: int = Field(32, ge=1, le=4096, description="Numbers in a code.")
    width: int = Field(
        32, ge=4, le=1024, description="Channels at half the size of the picture (convolutional)."
    )
    blocks: int = Field(1, ge=1, le=32, description="Residual blocks at each size (convolutional).")


class AutoencoderTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 20
    objective: Objective = Field(
        "plain",
        description="plain: the picture again; denoising: the clean picture out of a noisy one; "
        "sparse: with few large numbers in the code.",
    )
    noise_factor: float = Field(
        0.3, ge=0, le=5, description="Deviation of the noise on what is seen (denoising)."
    )
    sparsity: float = Field(
        1e-3, ge=0, description="Weight of the mean magnitude of the code's numbers (sparse)."
    )
    error: Literal["squared", "absolute"] = Field(
        "squared", description="What is minimised at each pixel."
    )


class AutoencoderSchedulerConfig(SchedulerConfig):
    """How the learning rate changes over the run."""

    type: Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"] = "CosineAnnealingLR"


class MetricsConfig(Group):
    """What is measured at each evaluation."""

    num_pictures: int = Field(3000, ge=1, description="Pictures measured in training.")


class Config(SystemConfig):
    """Train an autoencoder."""

    data: PictureDataConfig = PictureDataConfig()
    model: ModelConfig = ModelConfig()
    training: AutoencoderTrainingConfig = AutoencoderTrainingConfig()
    scheduler: AutoencoderSchedulerConfig = AutoencoderSchedulerConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()


class ReconstructConfig(PictureVerbConfig):
    """Show pictures above what comes back out of their codes."""

    dataset: str = Field("", description="Pictures; empty = test pictures of the training's.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    num_samples: int = Field(30, ge=1, le=1000, description="How many pictures.")
    noise_factor: float = Field(
        -1.0, ge=-1, le=5, description="Noise on what is seen; -1 = as in training."
    )
    latent_map: Path | None = Field(
        None, description="PNG of codes of test pictures by their two principal components."
    )
    output: Path = Field(Path("reconstructed.png"), description="PNG of the sheet.")


class EvaluateConfig(PictureVerbConfig):
    """Measure reconstructions of test pictures, beside principal components."""

    dataset: str = Field("", description="Pictures; empty = those of the training.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    num_samples: int = Field(10_000, ge=10, description="Test pictures.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "reconstruct": ReconstructConfig,
    "evaluate": EvaluateConfig,
}
