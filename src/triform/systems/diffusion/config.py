"""Every knob of the diffusion model, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

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

Objective = Literal["epsilon", "x0", "v"]
Sampler = Literal["ddpm", "ddim", "dpm"]


class DataConfig(PictureDataConfig):
    """Which pictures, and how many at once."""

    batch_size: int = Field(64, ge=1, description="Pictures per step, in each process.")


class ModelConfig(Group):
    """The chain of noise, and the U-Net that goes back along it."""

    timesteps: int = Field(1000, ge=2, le=10_000, description="Steps from a picture to noise.")
    beta_schedule: Literal["linear", "cosine"] = Field(
        "linear", description="How noise grows: linear from beta_start to beta_end, or cosine."
    )
    beta_start: float = Field(1e-4, gt=0, lt=1, description="First variance added (linear).")
    beta_end: float = Field(0.02, gt=0, lt=1, description="Last variance added (linear).")
    objective: Objective = Field(
        "epsilon", description="What the network says: the noise, the picture, or velocity."
    )
    width: int = Field(48, ge=8, le=1024, description="Channels of the highest level.")
    multipliers: tuple[int, ...] = Field(
        (1, 2), min_length=1, max_length=6, description="Channels of each level, times width."
    )
    blocks: int = Field(1, ge=1, le=8, description="Residual blocks on each level's way down.")
    attention_levels: tuple[int, ...] = Field(
        (1,), description="Levels with self-attention, counted from 0, the highest."
    )
    patch: int = Field(2, ge=1, le=8, description="Pixels along each side that count as one place.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations left out.")
    conditional: bool = Field(True, description="Learn which class is wanted.")
    label_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of labels hidden, for guidance."
    )

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if any(not 0 <= level < len(self.multipliers) for level in self.attention_levels):
            raise ValueError(
                f"attention_levels: {list(self.attention_levels)} with {len(self.multipliers)} "
                f"levels; allowed are 0 to {len(self.multipliers) - 1}"
            )
        if self.beta_start >= self.beta_end:
            raise ValueError("beta_start: must be below beta_end")
        return self


class DiffusionTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 30
    lr: float = 1e-3
    warmup_steps: int = 200
    grad_clip: float = 1.0
    ema_decay: float = 0.999


class DiffusionSchedulerConfig(SchedulerConfig):
    """How the learning rate changes over the run."""

    type: Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"] = "CosineAnnealingLR"


class DiffusionEarlyStoppingConfig(EarlyStoppingConfig):
    """When to stop before the last epoch."""

    enabled: bool = False


class MetricsConfig(Group):
    """What is measured at each evaluation."""

    levels: int = Field(20, ge=1, description="Levels of noise at which the loss is measured.")


class Config(SystemConfig):
    """Train a diffusion model."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: DiffusionTrainingConfig = DiffusionTrainingConfig()
    scheduler: DiffusionSchedulerConfig = DiffusionSchedulerConfig()
    early_stopping: DiffusionEarlyStoppingConfig = DiffusionEarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()


class SamplingConfig(Settings):
    """How to go from noise to pictures."""

    sampler: Sampler = Field("dpm", description="ddpm (ancestral), ddim, or dpm (DPM-Solver++).")
    steps: int = Field(20, ge=1, description="Steps from noise to picture; at most those trained.")
    eta: float = Field(0.0, ge=0, le=1, description="Share of the noise put back (ddim).")
    guidance: float = Field(
        1.0, ge=0, le=20, description="Above 1 follows the class more strictly; 0 ignores it."
    )
    stretch: float = Field(
        0.04, ge=0, le=1,
        description="Share by which brightness is stretched at the end, so that what should be "
        "black or white is; 0 leaves it as the network says.",
    )  # fmt: skip


class GenerateConfig(SamplingConfig, GeneratePicturesConfig):
    """Make new pictures out of noise."""

    labels: tuple[str, ...] = Field(
        (), description="Classes in turn, by name or number; empty = all of them."
    )
    chain: bool = Field(
        False, description="Show how each picture comes out of the noise, a row each (.png)."
    )


class EvaluateConfig(SamplingConfig, EvaluatePicturesConfig):
    """Measure made pictures against real ones, beside the time that they took."""

    classification_score: bool = Field(
        False, description="Teach a classifier with the made pictures and test it on real ones."
    )


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
}
