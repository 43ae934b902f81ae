"""Every knob of the VAE, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from triform.base.config import Group, Settings
from triform.datasets.picture_settings import (
    EvaluatePicturesConfig,
    GeneratePicturesConfig,
    PictureDataConfig,
    PictureVerbConfig,
)
from triform.engine.config import (
    EarlyStoppingConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)


class ModelConfig(Group):
    """Encoder, code and decoder."""

    latent_dim: int = Field(20, ge=1, le=4096, description="Numbers in a code.")
    width: int = Field(32, ge=4, le=1024, description="Channels at half the size of the picture.")
    blocks: int = Field(1, ge=1, le=32, description="Residual blocks at each size.")
    prior_components: int = Field(
        1, ge=1, le=1000, description="Clouds that codes are drawn from; 1 = the standard normal."
    )
    likelihood: Literal["bernoulli", "gaussian"] = Field(
        "bernoulli", description="What a pixel is drawn from, given the code."
    )
    sigma: float = Field(
        0.0, ge=0, le=10, description="Deviation of a pixel (gaussian); 0 = learned, one for all."
    )


class VaeTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 20
    lr: float = 1e-3
    beta: float = Field(1.0, ge=0, description="Weight of the KL divergence; 1 is the ELBO.")
    kl_warmup_steps: int = Field(
        0, ge=0, description="Steps in which the weight of the KL divergence rises from 0 to beta."
    )
    free_bits: float = Field(
        0.0, ge=0, description="Nats of each number of the code that cost nothing."
    )


class VaeSchedulerConfig(SchedulerConfig):
    """How the learning rate changes over the run."""

    type: Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"] = "CosineAnnealingLR"


class VaeEarlyStoppingConfig(EarlyStoppingConfig):
    """When to stop before the last epoch."""

    overfitting_gap_threshold: float = Field(
        default=20.0, gt=0, description="A gap below minus this (nats) is overfitting."
    )


class MetricsConfig(Group):
    """What is measured at each evaluation."""

    active_variance: float = Field(
        0.01, gt=0, description="A unit whose mean varies more than this is active."
    )


class Config(SystemConfig):
    """Train a variational autoencoder."""

    data: PictureDataConfig = PictureDataConfig()
    model: ModelConfig = ModelConfig()
    training: VaeTrainingConfig = VaeTrainingConfig()
    scheduler: VaeSchedulerConfig = VaeSchedulerConfig()
    early_stopping: VaeEarlyStoppingConfig = VaeEarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()

    @model_validator(mode="after")
    def _free_bits_need_units(self) -> Config:
        if self.training.free_bits and self.model.prior_components > 1:
            raise ValueError("free_bits: a mixture (prior_components above 1) has no KL by units")
        return self


class GenerateConfig(GeneratePicturesConfig):
    """Make new pictures from codes drawn from the prior."""

    temperature: float = Field(
        1.0, ge=0, le=5, description="Deviation of the codes; below 1 safer, less varied."
    )


class InterpolateConfig(PictureVerbConfig):
    """Go from one real picture to another, in even steps through their codes."""

    pairs: int = Field(6, ge=1, le=100, description="Rows: pairs of test pictures.")
    steps: int = Field(10, ge=2, le=100, description="Pictures from one to the other.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    output: Path = Field(Path("between.png"), description="PNG of the rows.")


class ExploreConfig(PictureVerbConfig):
    """See what each number of the code does, and where classes lie."""

    units: int = Field(10, ge=1, le=1000, description="Rows: the units that matter most.")
    steps: int = Field(9, ge=2, le=100, description="Values of each unit, to 3 deviations.")
    latent_map: Path | None = Field(
        None, description="PNG of codes of test pictures by their two principal components."
    )
    download_path: str = Field("datasets", description="Folder of the data sets.")
    output: Path = Field(Path("units.png"), description="PNG of the rows.")


class EvaluateConfig(EvaluatePicturesConfig):
    """Measure the bounds on the likelihood of test pictures, and made pictures."""

    importance_samples: int = Field(
        100, ge=1, le=10_000, description="Codes per picture for the importance-weighted bound."
    )
    importance_pictures: int = Field(500, ge=1, description="Test pictures for that bound.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "interpolate": InterpolateConfig,
    "explore": ExploreConfig,
    "evaluate": EvaluateConfig,
}
