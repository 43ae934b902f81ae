"""Gymnasium environments with discrete actions: made by name, stepped together.

Environments are stepped one after another, and reset in the step that ends their episode.
Gymnasium's own vector environments do that in one of three ways (`AutoresetMode`), and what a
step returns at the end of an episode differs between them: the next episode's first observation
with the last one hidden in `info`, or a row for a step that was never taken. Here
`Step.next_observations` is always the true result of the action.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import yaml
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from triform.base.errors import UserError
from triform.base.seeding import hash_seed

Env = gymnasium.Env[Any, Any]


def make_env(
    name: str,
    *,
    arguments: Sequence[str] = (),
    max_episode_steps: int = 0,
    render_mode: str | None = None,
    may_import: bool = True,
) -> Env:
    """Make one environment.

    Args:
        name: As registered: `CartPole-v1`, or `package.module:Name-v0`, which imports the module
            that registers it.
        arguments: Its own settings as `name=value`, values in YAML: `is_slippery=false`.
        max_episode_steps: Time limit instead of the registered one; 0 keeps that.
        render_mode: `rgb_array` for images.
        may_import: Whether a module in the name may be imported; False for names that were read
            from a file, which may come from somebody else.

    Raises:
        UserError: No such environment, it cannot be made, or its actions are not discrete.
    """
    if ":" in name and not may_import:
        raise UserError(
            f"the file names the environment {name!r}, whose module is not imported unasked: "
            f"if you trust it, say --environment {name}"
        )
    keywords = parse_arguments(arguments)
    if render_mode == "rgb_array":
        # Images are rendered in memory: no display is needed.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if render_mode is not None:
        keywords["render_mode"] = render_mode
    with _errors_in_one_line(name, keywords):
        env = gymnasium.make(
            name,
            max_episode_steps=max_episode_steps or None,
            disable_env_checker=True,  # it checks every step, which costs as much as the step
            **keywords,
        )
    if not isinstance(env.action_space, spaces.Discrete):
        env.close()
        raise UserError(
            f"--environment {name}: its actions are {env.action_space}, "
            "only discrete actions (Discrete) can be learned here"
        )
    try:
        _check_interface(env, name)
    except UserError:
        env.close()
        raise
    return env


def _check_interface(env: Env, name: str) -> None:
    """Reset an environment and act once, to see that it keeps to the interface of gymnasium 1.0.

    Raises:
        UserError: It returns what older gyms did, fails, or contradicts its observation space.
    """
    # Those that `gymnasium.make` adds take for granted what is checked here.
    while isinstance(env, TimeLimit | OrderEnforcing | PassiveEnvChecker):
        env = env.env
    encoder = ObservationEncoder(env.observation_space, name)
    row = np.zeros(encoder.size, encoder.dtype)
    older = "it was made for an older gym, not for gymnasium 1.0"
    call = "reset"
    try:
        result: Any = env.reset(seed=0)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UserError(
                f"--environment {name}: reset() returns the observation alone instead of "
                f"(observation, info): {older}"
            )
        encoder.encode_into(row, result[0])
        call = "step"
        result = env.step(int(getattr(env.action_space, "start", 0)))
        if len(result) != 5:
            raise UserError(
                f"--environment {name}: step() returns {len(result)} values instead of 5: {older}"
            )
        encoder.encode_into(row, result[0])
    except UserError:
        raise
    except Exception as error:  # whatever the environment's own program raises
        reason = " ".join(str(error).split())[:200]
        is_older = call == "reset" and isinstance(error, TypeError) and "'seed'" in reason
        raise UserError(
            f"--environment {name}: {call}() fails ({type(error).__name__}: {reason})"
            + (f": {older}" if is_older else "")
        ) from error


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """`name=value` words as a dict; values are YAML.

    Raises:
        UserError: A word without `=`, or a value that is not YAML.
    """
    keywords: dict[str, Any] = {}
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier() or key == "render_mode":
            raise UserError(f"--environment_arguments {word!r}: must be name=value")
        try:
            keywords[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--environment_arguments {word!r}: the value is no YAML") from error
    return keywords


class ObservationEncoder:
    """Encodes observations of a space as flat rows of numbers.

    Boxes as they are (bytes as 0 to 1), discrete observations one-hot, tuples and dicts
    concatenated. Rows are stored as bytes where that loses nothing.

    Attributes:
        size: Length of a row.
        dtype: Type in which rows are stored.
        scale: Factor from stored rows to network inputs.
    """

    def __init__(self, space: spaces.Space[Any], name: str = ""):
        self.space, self.name, self.scale = space, name, 1.0
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        if not space.is_np_flattenable:
            raise UserError(
                f"--environment {name}: observations of the kind {type(space).__name__} have no "
                "fixed length"
            )
        self.size = spaces.flatdim(space)
        self._kind = "other"
        if isinstance(space, spaces.Box):
            self._kind = "box"
            if space.dtype == np.uint8:
                self.dtype, self.scale = np.dtype(np.uint8), 1 / 255
        elif isinstance(space, spaces.Discrete):
            self._kind, self.dtype = "discrete", np.dtype(np.uint8)
            self._start = int(space.start)

    def encode_into(self, row: np.ndarray, observation: Any) -> None:
        """Write an observation into a row (size,) of `dtype`."""
        if self._kind == "box":
            values = np.asarray(observation)  # lists are common in environments of one's own
            if values.shape != self.space.shape:
                raise UserError(
                    f"--environment {self.name}: an observation has shape {values.shape}, but "
                    f"its observation_space has {self.space.shape}"
                )
            row[:] = values.reshape(-1)
        elif self._kind == "discrete":
            row[:] = 0
            row[int(observation) - self._start] = 1
        else:
            row[:] = spaces.flatten(self.space, observation)

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """Stored rows as float32 inputs of a network."""
        if rows.dtype == np.float32:
            return rows
        inputs: np.ndarray = rows.astype(np.float32) * np.float32(self.scale)
        return inputs


class Step(NamedTuple):
    """Result of one action in each environment.

    Attributes:
        next_observations: (N, size), the true ones also at the end of an episode.
        rewards: (N,) float32.
        terminated: (N,) bool, the episode reached a terminal state.
        truncated: (N,) bool, a time limit cut the episode off.
    """

    next_observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class VectorEnv:
    """Several environments of one kind, stepped together.

    Each is seeded once; its episodes then differ.

    Attributes:
        envs: The environments.
        observations: (N, size) current observations, of type `encoder.dtype`; a new array after
            each step.
        encoder: Encoder of observations.
        num_actions: Number of actions.
        episode_scores: Sum of rewards so far in each running episode.
        episode_lengths: Steps so far in each running episode.
        finished: (score, length) of the episodes that ended in the last step.
    """

    def __init__(
        self,
        name: str,
        count: int,
        seed: int,
        *,
        arguments: Sequence[str] = (),
        max_episode_steps: int = 0,
    ):
        self.name, self.seed = name, seed
        self._arguments, self._max_episode_steps = arguments, max_episode_steps
        self.envs = [self.make_one() for _ in range(count)]
        space = self.envs[0].action_space
        assert isinstance(space, spaces.Discrete)  # checked by make_env
        self.encoder = ObservationEncoder(self.envs[0].observation_space, name)
        self.num_actions, self._first_action = int(space.n), int(space.start)
        self.observations = np.zeros((count, self.encoder.size), self.encoder.dtype)
        self.episode_scores = [0.0] * count
        self.episode_lengths = [0] * count
        self.finished: list[tuple[float, int]] = []
        self.reset("start")

    def make_one(self) -> Env:
        """One more environment of the kind, not yet reset."""
        return make_env(
            self.name, arguments=self._arguments, max_episode_steps=self._max_episode_steps
        )

    def reset(self, *keys: str | int) -> None:
        """Start a new episode in each environment, with seeds that depend on the keys."""
        self.observations = np.zeros_like(self.observations)
        for index in range(len(self.envs)):
            self.reset_one(index, hash_seed(self.seed, "environment", index, *keys))

    def reset_one(self, index: int, seed: int | None = None) -> None:
        """Start a new episode in one environment."""
        with _errors_in_one_line(self.name):
            observation, _ = self.envs[index].reset(seed=seed)
        self.encoder.encode_into(self.observations[index], observation)
        self.episode_scores[index], self.episode_lengths[index] = 0.0, 0

    def step(self, actions: np.ndarray, indices: Sequence[int] | None = None) -> Step:
        """Act in each environment; an episode that ends is followed by the next one at once.

        Args:
            actions: (N,) from 0.
            indices: The environments to act in, one per action; the others wait. All by default.
        """
        count = len(actions)
        if indices is None:
            indices = range(count)
        next_observations = np.empty((count, self.encoder.size), self.encoder.dtype)
        rewards = np.empty(count, np.float32)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        self.finished = []
        ended = []
        for row, (index, action) in enumerate(zip(indices, actions.tolist(), strict=True)):
            observation, reward, is_terminal, is_truncated, _ = self.envs[index].step(
                action + self._first_action
            )
            self.encoder.encode_into(next_observations[row], observation)
            rewards[row] = reward
            self.episode_scores[index] += float(reward)
            self.episode_lengths[index] += 1
            if is_terminal or is_truncated:
                terminated[row], truncated[row] = is_terminal, is_truncated and not is_terminal
                ended.append(index)
        observations = next_observations.copy() if ended else next_observations
        if count < len(self.envs):
            observations = self.observations.copy()
            observations[list(indices)] = next_observations
        self.observations = observations
        for index in ended:
            self.finished.append((self.episode_scores[index], self.episode_lengths[index]))
            self.reset_one(index)
        return Step(next_observations, rewards, terminated, truncated)

    def close(self) -> None:
        """Close all environments."""
        for env in self.envs:
            env.close()


@contextlib.contextmanager
def _errors_in_one_line(name: str, keywords: dict[str, Any] | None = None) -> Iterator[None]:
    """Turn gymnasium's errors into a `UserError` of one line."""
    try:
        yield
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise UserError(f"--environment {name}: {' '.join(str(error).split())}") from error
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        arguments = ", ".join(keywords or ()) or "none given"
        raise UserError(
            f"--environment {name}: cannot be made with its arguments ({arguments}): "
            f"{' '.join(str(error).split())}"
        ) from error
