"""Every knob of prototypical networks, and the settings of their verbs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from triform.base.config import Group, Settings
from triform.datasets.episode_settings import (
    ClassifyConfig,
    EpisodeDataConfig,
    EvaluateEpisodesConfig,
)
from triform.engine.config import (
    EarlyStoppingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)


class ModelConfig(Group):
    """Shape of the embedding, and how embeddings are compared."""

    hidden_channels: int = Field(64, ge=8, multiple_of=8, description="Width of the blocks.")
    num_blocks: int = Field(4, ge=1, le=8, description="Blocks; each halves the picture.")
    norm: Literal["batch", "group"] = Field("batch", description="Norm of the blocks.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Squared Euclidean distance, or cosine with a learned scale."
    )


class ProtonetTrainingConfig(TrainingConfig):
    """How long and how fast to train."""

    memory_knobs = ("batch_size", "train_way", "image_size")

    epochs: int = 10
    lr: float = 1e-3
    use_amp: bool = False


class Config(SystemConfig):
    """Train an embedding in which a class is the mean of its examples."""

    data: EpisodeDataConfig = EpisodeDataConfig()
    model: ModelConfig = ModelConfig()
    training: ProtonetTrainingConfig = ProtonetTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig(type="CosineAnnealingLR")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.data.image_size < 2**self.model.num_blocks:
            raise ValueError(
                f"num_blocks {self.model.num_blocks} halve the picture more often than "
                f"image_size {self.data.image_size} allows"
            )
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateEpisodesConfig,
    "classify": ClassifyConfig,
}
