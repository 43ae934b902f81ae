"""Settings of environments, and of the verbs that let a trained agent play. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from triform.base.config import Group, Settings


def _as_tuple(value: object) -> object:
    """A single word stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class EnvironmentConfig(Group):
    """Which environment an agent learns in."""

    environment: str = Field(
        "CartPole-v1",
        min_length=1,
        description="Any Gymnasium environment with discrete actions, by name; "
        "`package.module:Name-v0` imports the module that registers it.",
    )
    environment_arguments: Words = Field(
        (), description="The environment's own settings as name=value (is_slippery=false)."
    )
    max_episode_steps: int = Field(
        0, ge=0, description="Time limit of an episode; 0 = the environment's own."
    )
    evaluation_episodes: int = Field(
        20, ge=1, description="Greedy episodes per evaluation, in environments of their own."
    )


class PlayingSettings(Settings):
    """What every verb that uses a trained agent can be told."""

    checkpoint: str | None = Field(
        None,
        description="Trained agent (.pth, .safetensors or a run directory); where not given, the "
        "one that comes with the project, or else that of the newest run here.",
    )
    environment: str | None = Field(
        None, description="Environment; where not given, the one that the agent was trained in."
    )
    environment_arguments: Words | None = Field(
        None, description="Its settings as name=value; where not given, those of training."
    )
    max_episode_steps: int = Field(
        0, ge=0, description="Time limit of an episode; 0 = the environment's own."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|gpu|cuda(:\d+)?)$", description="auto, cpu, gpu, cuda, cuda:N."
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Seed: same seed, same episodes.")


class EvaluateConfig(PlayingSettings):
    """Measure a trained agent: greedy episodes, with seeds that training never saw."""

    episodes: int = Field(100, ge=1, le=100_000, description="Episodes to play.")


class PlayConfig(PlayingSettings):
    """Let a trained agent play, and save what it looks like as GIF or MP4."""

    episodes: int = Field(1, ge=1, le=100, description="Episodes to play, one after another.")
    output: Path = Field(Path("play.gif"), description="Film: .gif or .mp4 (imageio-ffmpeg).")
    fps: int = Field(25, ge=1, le=50, description="Pictures per second, at most.")
    width: int = Field(300, ge=16, le=4096, description="Width of the film in pixels, at most.")
    max_steps: int = Field(0, ge=0, description="Film only the first so many steps; 0 = all.")
