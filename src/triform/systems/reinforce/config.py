"""Settings of REINFORCE and of its verbs. Imports no torch."""

from typing import Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.engine.config import LoggingConfig
from triform.tasks.agents.config import (
    AgentConfig,
    AgentTrainingConfig,
    EnvironmentConfig,
    EvaluateConfig,
    PerceptronConfig,
    PlayConfig,
)


class DataConfig(EnvironmentConfig):
    """Environment, and episodes per batch."""

    batch_size: int = Field(
        1, ge=1, le=1024, description="Whole episodes per update, played together."
    )
    steps_per_epoch: int = Field(
        5000,
        ge=1,
        description="Environment steps between two evaluations and checkpoints; running episodes "
        "are finished.",
    )


class ModelConfig(PerceptronConfig):
    """Shape of policy and value network."""

    activation: Literal["relu", "tanh"] = Field("relu", description="Activation function.")
    baseline: bool = Field(False, description="Subtract a learned state value from the returns.")


class ReinforceTrainingConfig(AgentTrainingConfig):
    """Optimization of policy and baseline."""

    memory_knobs = ("batch_size", "hidden_size")

    epochs: int = 30
    normalize: bool = Field(
        True, description="Normalize the advantages of an update to mean 0 and deviation 1."
    )
    entropy_weight: float = Field(0.0, ge=0, description="Weight of the entropy bonus.")
    value_lr: float = Field(1e-2, gt=0, description="Learning rate of the baseline.")
    value_steps: int = Field(10, ge=1, description="Updates of the baseline per batch.")


class ReinforceLoggingConfig(LoggingConfig):
    """Run directory and logging."""

    sample_every: int = 15


class Config(AgentConfig):
    """Train an agent by policy gradients in any Gymnasium environment with discrete actions."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: ReinforceTrainingConfig = ReinforceTrainingConfig()
    logging: ReinforceLoggingConfig = ReinforceLoggingConfig()


VERBS: dict[str, type[Settings]] = {"train": Config, "evaluate": EvaluateConfig, "play": PlayConfig}
