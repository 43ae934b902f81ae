"""Settings of the diffusion model and of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.engine.config import CosineSchedulerConfig, NoEarlyStoppingConfig, TrainingConfig
from triform.tasks.image_generation.config import (
    EvaluateImagesConfig,
    GenerateImagesConfig,
    ImageDataConfig,
    ImageSystemConfig,
)

Objective = Literal["epsilon", "x0", "v"]
Sampler = Literal["ddpm", "ddim", "dpm"]


class DataConfig(ImageDataConfig):
    """Data set and batches."""

    batch_size: int = Field(64, ge=1, description="Images per step, in each process.")


class ModelConfig(Group):
    """Noise schedule and U-Net."""

    timesteps: int = Field(1000, ge=2, le=10_000, description="Steps from an image to noise.")
    beta_schedule: Literal["linear", "cosine"] = Field(
        "linear", description="Variance schedule: linear from beta_start to beta_end, or cosine."
    )
    beta_start: float = Field(1e-4, gt=0, lt=1, description="First variance (linear).")
    beta_end: float = Field(0.02, gt=0, lt=1, description="Last variance (linear).")
    objective: Objective = Field(
        "epsilon", description="What the network predicts: the noise, the image, or velocity."
    )
    width: int = Field(48, ge=8, le=1024, description="Channels of the highest level.")
    multipliers: tuple[int, ...] = Field(
        (1, 2), min_length=1, max_length=6, description="Channels of each level, times width."
    )
    blocks: int = Field(1, ge=1, le=8, description="Residual blocks of each level of the encoder.")
    attention_levels: tuple[int, ...] = Field(
        (1,), description="Levels with self-attention, counted from 0, the highest."
    )
    patch: int = Field(2, ge=1, le=8, description="Pixels along each side of a patch.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability.")
    conditional: bool = Field(True, description="Condition on the class.")
    label_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of labels dropped, for guidance."
    )

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if any(not 0 <= level < len(self.multipliers) for level in self.attention_levels):
            raise ValueError(
                f"attention_levels: {list(self.attention_levels)} with {len(self.multipliers)} "
                f"levels; allowed are 0 to {len(self.multipliers) - 1}"
            )
        if self.beta_start >= self.beta_end:
            raise ValueError("beta_start: must be below beta_end")
        return self


class DiffusionTrainingConfig(TrainingConfig):
    """Length and learning rate of the training."""

    epochs: int = 30
    lr: float = 1e-3
    warmup_steps: int = 200
    grad_clip: float = 1.0
    ema_decay: float = 0.999


class MetricsConfig(Group):
    """Metrics of each evaluation."""

    levels: int = Field(20, ge=1, description="Noise levels of the measured loss.")


class Config(ImageSystemConfig):
    """Train a diffusion model."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: DiffusionTrainingConfig = DiffusionTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    metrics: MetricsConfig = MetricsConfig()


class SamplingConfig(Settings):
    """Sampler."""

    sampler: Sampler = Field("dpm", description="ddpm (ancestral), ddim, or dpm (DPM-Solver++).")
    steps: int = Field(20, ge=1, description="Sampling steps; at most those trained.")
    eta: float = Field(0.0, ge=0, le=1, description="Share of new noise (ddim).")
    guidance: float = Field(
        1.0,
        ge=0,
        le=20,
        description="Guidance scale: above 1 follows the class more strictly; 0 ignores it.",
    )
    stretch: float = Field(
        0.04,
        ge=0,
        le=1,
        description="Contrast stretching of the samples, so that black is black and white is "
        "white; 0 leaves them as predicted.",
    )


class GenerateConfig(SamplingConfig, GenerateImagesConfig):
    """Generate new images."""

    labels: tuple[str, ...] = Field(
        (), description="Classes in turn, by name or number; empty = all of them."
    )
    show_steps: bool = Field(
        False, description="Show the predicted image after some of the steps, a row each (.png)."
    )


class EvaluateConfig(SamplingConfig, EvaluateImagesConfig):
    """Measure generated images against held-out real ones."""

    classification_score: bool = Field(
        False, description="Train a classifier on the generated images and test it on real ones."
    )


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
}
