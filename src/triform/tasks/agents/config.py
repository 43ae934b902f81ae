"""Settings of reinforcement learners and of the verbs of trained agents. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from triform.base.settings.config import Group
from triform.base.settings.path_role import Output
from triform.engine.config import (
    ConstantSchedulerConfig,
    NoEarlyStoppingConfig,
    SystemConfig,
    Texts,
    TrainedVerbConfig,
    TrainingConfig,
)


class EnvironmentConfig(Group):
    """The environment that an agent learns in."""

    environment: str = Field(
        "CartPole-v1",
        min_length=1,
        description="Any Gymnasium environment with discrete actions, by name; "
        "`package.module:Name-v0` imports the module that registers it.",
    )
    environment_arguments: Texts = Field(
        (), description="The environment's own settings as name=value (is_slippery=false)."
    )
    max_episode_steps: int = Field(
        0, ge=0, description="Time limit of an episode; 0 = the environment's own."
    )
    evaluation_episodes: int = Field(
        20, ge=1, description="Greedy episodes per evaluation, in environments of their own."
    )


class PerceptronConfig(Group):
    """Shape of the network."""

    hidden_size: int = Field(128, ge=1, description="Width of the hidden layers.")
    num_layers: int = Field(2, ge=0, le=16, description="Hidden layers; 0 = linear.")


class AgentTrainingConfig(TrainingConfig):
    """Optimization of a reinforcement learner."""

    lr: float = 1e-3
    use_amp: bool = False
    num_threads: int = 1  # for networks this small a second thread costs more than it brings
    gamma: float = Field(0.99, ge=0, le=1, description="Discount factor per step.")


class AgentConfig(SystemConfig):
    """Settings of a reinforcement learner."""

    data: EnvironmentConfig = EnvironmentConfig()
    model: PerceptronConfig = PerceptronConfig()
    scheduler: ConstantSchedulerConfig = ConstantSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()


class AgentVerbConfig(TrainedVerbConfig):
    """Settings of every verb that uses a trained agent."""

    environment: str | None = Field(
        None, description="Environment; by default the one that the agent was trained in."
    )
    environment_arguments: Texts | None = Field(
        None, description="Its settings as name=value; by default those of training."
    )
    max_episode_steps: int = Field(
        0, ge=0, description="Time limit of an episode; 0 = the environment's own."
    )


class EvaluateConfig(AgentVerbConfig):
    """Measure a trained agent in greedy episodes, with seeds that training never used."""

    episodes: int = Field(100, ge=1, le=100_000, description="Number of episodes.")


class PlayConfig(AgentVerbConfig):
    """Record episodes of a trained agent as GIF or MP4."""

    episodes: int = Field(1, ge=1, le=100, description="Number of episodes, one after another.")
    output: Annotated[Path, Output(".gif")] = Field(
        Path("play.gif"), description="Video: .gif or .mp4 (imageio-ffmpeg)."
    )
    fps: int = Field(25, ge=1, le=50, description="Images per second, at most.")
    width: int = Field(300, ge=16, le=4096, description="Width of the video in pixels, at most.")
    max_steps: int = Field(0, ge=0, description="Record only the first steps; 0 = all.")
