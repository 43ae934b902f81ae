"""Every knob of the DCGAN, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triform.base.config import Group, Settings
from triform.datasets.picture_settings import (
    EvaluatePicturesConfig,
    GeneratePicturesConfig,
    PictureDataConfig,
)
from triform.engine.config import (
    EarlyStoppingConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)


class ModelConfig(Group):
    """Generator and discriminator."""

    latent_dim: int = Field(100, ge=1, le=4096, description="Numbers that a picture is made from.")
    width: int = Field(32, ge=4, le=1024, description="Channels at the size of the picture.")
    discriminator_norm: Literal["spectral", "batch", "none"] = Field(
        "spectral", description="What holds the discriminator back."
    )


class GanTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 20
    lr: float = Field(2e-4, gt=0, description="Learning rate of the generator.")
    discriminator_lr: float = Field(
        0.0, ge=0, description="Learning rate of the discriminator; 0 = lr."
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Second moment of Adam.")
    saturating: bool = Field(
        False, description="The generator's loss log(1 - D) of the theory, not -log D."
    )
    r1: float = Field(0.0, ge=0, description="Weight of the gradient penalty on real pictures.")
    ema_decay: float = 0.999
    use_amp: bool = False


class ConstantRateConfig(SchedulerConfig):
    """How the learning rate changes over the run."""

    type: Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"] = "none"


class NoEarlyStoppingConfig(EarlyStoppingConfig):
    """When to stop before the last epoch."""

    enabled: bool = False


class MetricsConfig(Group):
    """What is measured at each evaluation."""

    num_samples: int = Field(2000, ge=100, description="Pictures made to measure quality.")


class Config(SystemConfig):
    """Train a DCGAN."""

    data: PictureDataConfig = PictureDataConfig()
    model: ModelConfig = ModelConfig()
    training: GanTrainingConfig = GanTrainingConfig()
    scheduler: ConstantRateConfig = ConstantRateConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GeneratePicturesConfig,
    "evaluate": EvaluatePicturesConfig,
}
