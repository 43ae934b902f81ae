"""Every knob of the style-based GAN, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

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


class DataConfig(PictureDataConfig):
    """Which pictures, and how many at once."""

    batch_size: int = Field(64, ge=2, description="Pictures per step, in each process.")


class ModelConfig(Group):
    """Mapping network, synthesis network and discriminator."""

    latent_dim: int = Field(64, ge=1, le=4096, description="Width of z and of the style w.")
    mapping_layers: int = Field(4, ge=1, le=16, description="Layers from z to w.")
    mapping_rate: float = Field(
        0.1, gt=0, le=1, description="Learning rate of the mapping network, times lr."
    )
    width: int = Field(16, ge=4, le=1024, description="Channels at the size of the picture.")
    modulation: Literal["demodulated", "adain"] = Field(
        "demodulated",
        description="How a style acts: on the weights (StyleGAN 2), or by AdaIN (StyleGAN).",
    )
    noise: bool = Field(True, description="Add noise of its own to every place.")


class StyleTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 15
    lr: float = Field(2e-3, gt=0, description="Learning rate of both networks.")
    beta1: float = Field(0.0, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Second moment of Adam.")
    r1: float = Field(0.5, ge=0, description="Weight of the gradient penalty on real pictures.")
    mixing: float = Field(
        0.5, ge=0, le=1, description="Share of pictures made from two styles in training."
    )
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
    """Train a style-based GAN."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: StyleTrainingConfig = StyleTrainingConfig()
    scheduler: ConstantRateConfig = ConstantRateConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()


class GenerateConfig(GeneratePicturesConfig):
    """Make new pictures."""

    truncation: float = Field(
        1.0, ge=0, le=1, description="Below 1 nearer to the average style: safer, less varied."
    )


class EvaluateConfig(EvaluatePicturesConfig):
    """Measure made pictures against real ones that were not learned from."""

    truncation: float = Field(1.0, ge=0, le=1, description="Below 1 nearer to the average style.")


class MixConfig(PictureVerbConfig):
    """Give the shape of some pictures the details of others: a table of crosses."""

    rows: int = Field(6, ge=1, le=50, description="Pictures whose coarse styles are kept.")
    columns: int = Field(8, ge=1, le=50, description="Pictures whose fine styles are taken.")
    crossover: int = Field(
        0, ge=0, le=64, description="First layer that takes the fine style; 0 = the middle one."
    )
    truncation: float = Field(0.8, ge=0, le=1, description="Below 1 nearer to the average style.")
    output: Path = Field(Path("mixed.png"), description="PNG of the table.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "mix": MixConfig,
    "evaluate": EvaluateConfig,
}
