"""Every knob of MAML, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

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
    """Shape of the network."""

    hidden_channels: int = Field(64, ge=8, multiple_of=8, description="Width of the blocks.")
    num_blocks: int = Field(4, ge=1, le=8, description="Blocks; each halves the picture.")


class MAMLTrainingConfig(TrainingConfig):
    """How long and how fast to train, outside and inside of a task."""

    memory_knobs = ("batch_size", "inner_steps", "hidden_channels")

    epochs: int = 10
    use_amp: bool = False
    inner_steps: int = Field(5, ge=1, le=100, description="Steps of learning within a task.")
    inner_lr: float = Field(0.01, gt=0, description="Learning rate within a task.")
    learn_inner_lr: bool = Field(
        False, description="Learn the inner rate of each tensor and step as well (MAML++)."
    )
    test_steps: int = Field(
        0, ge=0, le=10_000, description="Steps within a test task; 0 = inner_steps."
    )
    first_order: bool = Field(
        False, description="Leave out second derivatives: cheaper, and usually less accurate."
    )
    anil: bool = Field(False, description="Within a task learn the last layer only.")
    side_by_side: bool = Field(
        True,
        description="On a processor learn tasks side by side as channels, 2.5 times as fast as by "
        "torch.func.vmap; elsewhere it changes nothing.",
    )


class Config(SystemConfig):
    """Train weights from which a few gradient steps learn a new task."""

    data: EpisodeDataConfig = EpisodeDataConfig()
    model: ModelConfig = ModelConfig()
    training: MAMLTrainingConfig = MAMLTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig(type="CosineAnnealingLR")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)

    @model_validator(mode="after")
    def _fits(self) -> Config:
        data, training = self.data, self.training
        if data.image_size < 2**self.model.num_blocks:
            raise ValueError(
                f"num_blocks {self.model.num_blocks} halve the picture more often than "
                f"image_size {data.image_size} allows"
            )
        if data.train_way not in (0, data.n_way):
            raise ValueError(
                f"train_way {data.train_way} must be n_way {data.n_way} (or 0): the last layer "
                "has one output per class"
            )
        if training.learn_inner_lr and training.test_steps > training.inner_steps:
            raise ValueError(
                f"test_steps {training.test_steps} are more than the inner_steps "
                f"{training.inner_steps} whose rates are learned"
            )
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateEpisodesConfig,
    "classify": ClassifyConfig,
}
