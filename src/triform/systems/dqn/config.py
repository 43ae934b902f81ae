"""Every knob of the Q-learner, and the settings of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

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
    """Which environment, how the agent explores it, and what it remembers."""

    num_environments: int = Field(
        1, ge=1, le=1024, description="Environments that are played side by side."
    )
    steps_per_epoch: int = Field(
        1000, ge=1, description="Environment steps between two evaluations and checkpoints."
    )
    batch_size: int = Field(32, ge=1, description="Transitions per update, in each process.")
    replay_size: int = Field(10_000, ge=1, description="Transitions that are remembered.")
    learning_starts: int = Field(
        500, ge=1, description="Environment steps before the first update; actions are random."
    )
    train_every: int = Field(
        1, ge=1, description="Environment steps between two bursts of updates."
    )
    gradient_steps: int = Field(1, ge=1, description="Updates per burst.")
    epsilon: float = Field(1.0, ge=0, le=1, description="Share of random actions at first.")
    epsilon_min: float = Field(0.01, ge=0, le=1, description="Share of random actions at last.")
    epsilon_decay: float = Field(
        0.995, gt=0, le=1, description="Factor of the share of random actions, each time it falls."
    )
    epsilon_every: int = Field(
        10, ge=1, description="Environment steps after which the share falls once."
    )


class ModelConfig(Group):
    """Shape of the Q-network."""

    hidden_size: int = Field(128, ge=1, description="Width of the hidden layers.")
    num_layers: int = Field(2, ge=0, le=16, description="Hidden layers; 0 = linear.")


class DQNTrainingConfig(TrainingConfig):
    """How long and how fast to learn, and from what."""

    memory_knobs = ("replay_size", "batch_size", "hidden_size")

    epochs: int = 50
    lr: float = 1e-3
    grad_clip: float = 10.0
    use_amp: bool = False
    num_threads: int = 1  # for networks this small a second thread costs more than it brings
    gamma: float = Field(0.99, ge=0, le=1, description="What a reward one step later is worth.")
    n_step: int = Field(
        1, ge=1, le=1000, description="Steps whose rewards are counted before a value is guessed."
    )
    double_q: bool = Field(
        True, description="Let the learning network choose what the target network rates."
    )
    td_loss: Literal["huber", "mse"] = Field("huber", description="How an error is counted.")
    target_update: Literal["polyak", "copy"] = Field(
        "polyak", description="The target network follows slowly, or is copied now and then."
    )
    tau: float = Field(0.005, gt=0, le=1, description="How far it follows per update (polyak).")
    target_every: int = Field(500, ge=1, description="Updates between two copies (copy).")
    failure_reward: float | None = Field(
        None,
        description="Learn with this reward where an episode terminates (the documented sketch: "
        "-10); scores are always the environment's own.",
    )


class DQNLoggingConfig(LoggingConfig):
    """Where the run and its numbers are written."""

    log_every: int = 100
    sample_every: int = 25


class Config(SystemConfig):
    """Train an agent by deep Q-learning in any Gymnasium environment with discrete actions."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: DQNTrainingConfig = DQNTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig(type="none")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)
    logging: DQNLoggingConfig = DQNLoggingConfig()

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        """A burst must have something to learn from, and exploration cannot rise."""
        data = self.data
        if data.epsilon_min > data.epsilon:
            raise ValueError(
                f"epsilon_min {data.epsilon_min} must be at most epsilon {data.epsilon}"
            )
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateConfig,
    "play": PlayConfig,
}
