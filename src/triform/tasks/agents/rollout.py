"""Plays episodes with a fixed policy, to measure it or to record images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from triform.base.errors import UserError
from triform.base.seeding import hash_seed
from triform.tasks.agents.config import AgentVerbConfig, EnvironmentConfig, EvaluateConfig
from triform.tasks.agents.environments import Env, ObservationEncoder, make_env
from triform.tasks.agents.score_record import ScoreRecord

Policy = Callable[[np.ndarray], np.ndarray]
"""Observations (N, size) float32 to actions (N,) from 0."""

DEFAULT_TIME_LIMIT = 10_000
"""Time limit in steps of environments that have none."""
MAX_PARALLEL = 25
"""Environments that are stepped together."""


@torch.no_grad()
def greedy_actions(
    network: nn.Module, observations: np.ndarray, device: torch.device
) -> np.ndarray:
    """Actions (N,) with the highest output for observations (N, size) float32."""
    outputs = network(torch.from_numpy(observations).to(device))
    actions: np.ndarray = outputs.argmax(1).cpu().numpy()
    return actions


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment and the seed of its episodes.

    Episode k of a seed always starts alike, however many are played together.

    Attributes:
        name: Name of the environment.
        seed: Seed of all episodes; apart from that of training.
        arguments: The environment's own settings as `name=value`.
        max_episode_steps: Time limit instead of the registered one; 0 keeps that.
        may_import: Whether a module in the name may be imported.
    """

    name: str
    seed: int
    arguments: Sequence[str] = ()
    max_episode_steps: int = 0
    may_import: bool = True

    @classmethod
    def from_settings(
        cls, settings: AgentVerbConfig, training: EnvironmentConfig
    ) -> EnvironmentSpec:
        """The environment that flags name, or else the one of training.

        Args:
            settings: Settings of the verb.
            training: Settings that an agent was trained with. They come from a file, perhaps of
                somebody else: no module that they name is imported.
        """
        # Arguments and time limit of training apply to the environment of training only.
        is_same = settings.environment in (None, training.environment)
        arguments = settings.environment_arguments
        if arguments is None:
            arguments = training.environment_arguments if is_same else ()
        return cls(
            settings.environment or training.environment,
            settings.seed,
            arguments,
            settings.max_episode_steps or (training.max_episode_steps if is_same else 0),
            may_import=settings.environment is not None,
        )

    def make(self, render_mode: str | None = None) -> Env:
        """A new environment, which always has a time limit."""
        env = make_env(
            self.name,
            arguments=self.arguments,
            max_episode_steps=self.max_episode_steps,
            render_mode=render_mode,
            may_import=self.may_import,
        )
        has_limit = env.spec is not None and env.spec.max_episode_steps is not None
        if not self.max_episode_steps and not has_limit:
            return gymnasium.wrappers.TimeLimit(env, DEFAULT_TIME_LIMIT)
        return env

    def episode_seed(self, index: int) -> int:
        """Seed of an episode."""
        return hash_seed(self.seed, "play", index)


@dataclass
class Episode:
    """One episode; `score` is the sum of the environment's own rewards."""

    score: float = 0.0
    length: int = 0
    actions: list[int] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)


class EpisodeRunner:
    """Plays episodes in environments that it reuses.

    Args:
        spec: The environment.
        num_inputs: Length of the observations that the policy reads; None = not checked.
        num_actions: Number of actions of the policy; None = not checked.

    Raises:
        UserError: The environment cannot be made, or does not fit the policy.
    """

    def __init__(
        self, spec: EnvironmentSpec, num_inputs: int | None = None, num_actions: int | None = None
    ):
        self.spec = spec
        self.envs = [spec.make()]
        env = self.envs[0]
        self.encoder = ObservationEncoder(env.observation_space, spec.name)
        self.num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
        self.first_action = int(env.action_space.start)  # type: ignore[attr-defined]
        sizes = (num_inputs or self.encoder.size, num_actions or self.num_actions)
        if sizes != (self.encoder.size, self.num_actions):
            raise UserError(
                f"--environment {spec.name}: {self.encoder.size} inputs and {self.num_actions} "
                f"actions, but the agent was trained with {sizes[0]} and {sizes[1]}"
            )

    def run(self, policy: Policy, count: int, first: int = 0) -> list[Episode]:
        """Play the episodes `first` to `first + count - 1`."""
        num_envs = min(count, MAX_PARALLEL)
        while len(self.envs) < num_envs:
            self.envs.append(self.spec.make())
        episodes = [Episode() for _ in range(count)]
        rows = np.zeros((num_envs, self.encoder.size), self.encoder.dtype)
        episode_of = list(range(num_envs))  # environment -> episode
        waiting = iter(range(num_envs, count))
        for index in range(num_envs):
            self._reset(index, first + index, rows[index])
        active = list(range(num_envs))
        while active:
            actions = policy(self.encoder.inputs(rows[active])).tolist()
            still_active = []
            for index, action in zip(active, actions, strict=True):
                episode = episodes[episode_of[index]]
                observation, reward, terminated, truncated, _ = self.envs[index].step(
                    action + self.first_action
                )
                episode.score += float(reward)
                episode.length += 1
                self.encoder.encode_into(rows[index], observation)
                if terminated or truncated:
                    following = next(waiting, None)
                    if following is None:
                        continue
                    episode_of[index] = following
                    self._reset(index, first + following, rows[index])
                still_active.append(index)
            active = still_active
        return episodes

    def _reset(self, index: int, episode: int, row: np.ndarray) -> None:
        observation, _ = self.envs[index].reset(seed=self.spec.episode_seed(episode))
        self.encoder.encode_into(row, observation)

    def record(
        self, policy: Policy, index: int, *, images: bool = True, max_steps: int = 0
    ) -> Episode:
        """Play one episode, with its actions and images.

        Args:
            policy: The policy.
            index: Index of the episode.
            images: Whether to render it.
            max_steps: Stop after so many steps; 0 = at its end.

        Raises:
            UserError: The environment cannot be rendered.
        """
        if images and not self.can_render():
            raise UserError(f"--environment {self.spec.name}: cannot be drawn (no rgb_array)")
        env = self.spec.make("rgb_array" if images else None)
        row = np.zeros((1, self.encoder.size), self.encoder.dtype)
        episode = Episode()
        try:
            observation, _ = env.reset(seed=self.spec.episode_seed(index))
            done = False
            while not done:
                if images:
                    episode.frames.append(_render(env, self.spec.name))
                self.encoder.encode_into(row[0], observation)
                action = int(policy(self.encoder.inputs(row))[0])
                observation, reward, terminated, truncated, _ = env.step(action + self.first_action)
                episode.actions.append(action)
                episode.score += float(reward)
                episode.length += 1
                done = terminated or truncated or 0 < max_steps <= episode.length
            if images:
                episode.frames.append(_render(env, self.spec.name))
        finally:
            env.close()
        return episode

    def can_render(self) -> bool:
        """Whether the environment renders images."""
        return "rgb_array" in (self.envs[0].metadata.get("render_modes") or ())

    def frame_rate(self) -> float:
        """Images per second of the environment."""
        return float(self.envs[0].metadata.get("render_fps") or 30)

    def close(self) -> None:
        """Close all environments."""
        for env in self.envs:
            env.close()


def evaluate_policy(
    runner: EpisodeRunner, policy: Policy, settings: EvaluateConfig
) -> dict[str, Any]:
    """Scores of a policy, and of random actions as the baseline.

    Returns:
        The numbers of `summarize`, and `random_score` and `random_interval` of the same episodes
        with uniformly random actions.
    """
    episodes = runner.run(policy, settings.episodes)
    rng = np.random.default_rng(hash_seed(settings.seed, "random agent"))

    def random_policy(rows: np.ndarray) -> np.ndarray:
        return rng.integers(runner.num_actions, size=len(rows))

    baseline = summarize(runner.run(random_policy, settings.episodes))
    runner.close()
    return {
        "environment": runner.spec.name,
        **summarize(episodes),
        "random_score": baseline["score"],
        "random_interval": baseline["interval"],
    }


class Evaluator:
    """Greedy episodes that measure an agent in training, in environments of their own.

    Args:
        data: Settings.
        seed: Seed of the run, from which that of the episodes follows.
        record: Scores of the run.
        process_index: Index of this process.
        process_count: Number of processes, which share the episodes.
    """

    def __init__(
        self,
        data: EnvironmentConfig,
        seed: int,
        record: ScoreRecord,
        process_index: int,
        process_count: int,
    ):
        self.data, self.seed, self.record = data, seed, record
        self.process_index, self.process_count = process_index, process_count
        self._runners: dict[str, EpisodeRunner] = {}

    def runner(self, split: str) -> EpisodeRunner:
        """The environments of a split, with seeds of their own."""
        if split not in self._runners:
            spec = EnvironmentSpec(
                self.data.environment,
                hash_seed(self.seed, "evaluation", split),
                self.data.environment_arguments,
                self.data.max_episode_steps,
            )
            self._runners[split] = EpisodeRunner(spec)
        return self._runners[split]

    def evaluate(self, policy: Policy, split: str) -> dict[str, float]:
        """Mean score of greedy episodes; `val` plays other ones each time, to cover more."""
        if split == "train":
            return {}
        share = -(-self.data.evaluation_episodes // self.process_count)
        turn = len(self.record.evaluations) if split == "val" else 0
        first = (turn * self.process_count + self.process_index) * share
        summary = summarize(self.runner(split).run(policy, share, first))
        metrics = {name: summary[name] for name in ("score", "lowest", "steps_per_episode")}
        if split == "val":
            metrics["selection"] = self.record.add_evaluation(summary["score"])
        return metrics


def summarize(episodes: Sequence[Episode]) -> dict[str, float]:
    """Statistics of the scores of episodes; the interval is that of the mean, at 95 %."""
    scores = np.array([episode.score for episode in episodes], float)
    deviation = float(scores.std(ddof=1)) if len(scores) > 1 else 0.0
    return {
        "episodes": len(scores),
        "score": round(float(scores.mean()), 4),
        "interval": round(1.96 * deviation / len(scores) ** 0.5, 4),
        "median": float(np.median(scores)),
        "lowest": float(scores.min()),
        "highest": float(scores.max()),
        "steps_per_episode": round(float(np.mean([e.length for e in episodes])), 2),
    }


def _render(env: Env, name: str) -> np.ndarray:
    """The current image (H, W, 3) uint8 of an environment."""
    try:
        frame = env.render()
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"--environment {name}: {' '.join(str(error).split())}") from error
    if not isinstance(frame, np.ndarray) or frame.ndim != 3:
        raise UserError(f"--environment {name}: draws no image (H, W, 3)")
    return np.ascontiguousarray(frame[..., :3], dtype=np.uint8)
