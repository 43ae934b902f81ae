"""Settings of deep Q-learning and of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Settings
from triform.engine.config import LoggingConfig
from triform.tasks.agents.config import (
    AgentConfig,
    AgentTrainingConfig,
    EnvironmentConfig,
    EvaluateConfig,
    PlayConfig,
)


class DataConfig(EnvironmentConfig):
    """Environment, exploration and replay buffer."""

    num_environments: int = Field(
        1, ge=1, le=1024, description="Environments that are stepped together."
    )
    steps_per_epoch: int = Field(
        1000, ge=1, description="Environment steps between two evaluations and checkpoints."
    )
    batch_size: int = Field(32, ge=1, description="Transitions per update, in each process.")
    replay_size: int = Field(10_000, ge=1, description="Capacity of the replay buffer.")
    learning_starts: int = Field(
        500, ge=1, description="Environment steps before the first update; actions are random."
    )
    train_every: int = Field(1, ge=1, description="Environment steps between updates.")
    gradient_steps: int = Field(1, ge=1, description="Updates each time.")
    epsilon: float = Field(1.0, ge=0, le=1, description="Share of random actions at the start.")
    epsilon_min: float = Field(0.01, ge=0, le=1, description="Smallest share of random actions.")
    epsilon_decay: float = Field(
        0.995, gt=0, le=1, description="Factor of the share of random actions per decay."
    )
    epsilon_every: int = Field(10, ge=1, description="Environment steps between two decays.")


class DQNTrainingConfig(AgentTrainingConfig):
    """Optimization, temporal-difference targets and target network."""

    memory_knobs = ("replay_size", "batch_size", "hidden_size")

    epochs: int = 50
    grad_clip: float = 10.0
    n_step: int = Field(
        1, ge=1, le=1000, description="Rewards that are summed before a value is bootstrapped."
    )
    double_q: bool = Field(
        True, description="Double Q-learning: the online network selects the next action."
    )
    td_loss: Literal["huber", "mse"] = Field("huber", description="Loss of an error.")
    target_update: Literal["polyak", "copy"] = Field(
        "polyak", description="Average the weights into the target network, or copy them."
    )
    tau: float = Field(0.005, gt=0, le=1, description="Weight of the average per update (polyak).")
    target_every: int = Field(500, ge=1, description="Updates between two copies (copy).")
    failure_reward: float | None = Field(
        None,
        description="Learn with this reward where an episode terminates (the documented sketch: "
        "-10); scores are always the environment's own.",
    )


class DQNLoggingConfig(LoggingConfig):
    """Run directory and logging."""

    log_every: int = 100
    sample_every: int = 25


class Config(AgentConfig):
    """Train an agent by deep Q-learning in any Gymnasium environment with discrete actions."""

    data: DataConfig = DataConfig()
    training: DQNTrainingConfig = DQNTrainingConfig()
    logging: DQNLoggingConfig = DQNLoggingConfig()

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        """Exploration cannot rise."""
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
