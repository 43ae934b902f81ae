"""Every knob of the policy learner, and the settings of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field

from triform.base.config import Group, Settings
from triform.datasets.playing_settings import EnvironmentConfig, EvaluateConfig, PlayConfig
from triform.engine.config import (
    EarlyStoppingConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)


class DataConfig(EnvironmentConfig):
    """Which environment, and how many episodes make a batch."""

    batch_size: int = Field(
        1, ge=1, le=1024, description="Whole episodes per update, played side by side."
    )
    steps_per_epoch: int = Field(
        5000,
        ge=1,
        description="Environment steps between two evaluations and checkpoints; the episodes "
        "under way are played to their ends.",
    )


class ModelConfig(Group):
    """Shape of the networks."""

    hidden_size: int = Field(128, ge=1, description="Width of the hidden layers.")
    num_layers: int = Field(2, ge=0, le=16, description="Hidden layers; 0 = linear.")
    activation: Literal["relu", "tanh"] = Field("relu", description="Between the layers.")
    baseline: bool = Field(
        False, description="Learn what a state is worth, and only reward what was better."
    )


class ReinforceTrainingConfig(TrainingConfig):
    """How long and how fast to learn, and from what."""

    memory_knobs = ("batch_size", "hidden_size")

    epochs: int = 30
    lr: float = 1e-3
    use_amp: bool = False
    num_threads: int = 1  # for networks this small a second thread costs more than it brings
    gamma: float = Field(0.99, ge=0, le=1, description="What a reward one step later is worth.")
    normalize: bool = Field(
        True, description="Bring the returns of an update to mean 0 and deviation 1."
    )
    entropy_weight: float = Field(
        0.0, ge=0, description="Weight of the entropy bonus, which keeps the policy curious."
    )
    value_lr: float = Field(1e-2, gt=0, description="Learning rate of the baseline.")
    value_steps: int = Field(10, ge=1, description="Updates of the baseline per batch.")


class ReinforceLoggingConfig(LoggingConfig):
    """Where the run and its numbers are written."""

    sample_every: int = 15


class Config(SystemConfig):
    """Train an agent by policy gradients in any Gymnasium environment with discrete actions."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: ReinforceTrainingConfig = ReinforceTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig(type="none")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)
    logging: ReinforceLoggingConfig = ReinforceLoggingConfig()


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateConfig,
    "play": PlayConfig,
}
