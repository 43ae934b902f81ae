"""Gymnasium environments with discrete actions: made by name, several at once, true successors.

Environments are stepped here one after another and reset in the step that ends their episode.
Gymnasium's own vector environments do that in one of three ways (`AutoresetMode`), and what a
step returns at the end of an episode differs between them: the next episode's first observation
with the last one hidden in `info`, or a row of a step that never was. Here `Step.successors`
always holds what the action really led to.
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

from triform.base.errors import UserError
from triform.base.seeding import hash_seed


def make_environment(
    name: str,
    *,
    arguments: Sequence[str] = (),
    max_episode_steps: int = 0,
    render_mode: str | None = None,
    may_import: bool = True,
) -> gymnasium.Env[Any, Any]:
    """Make one environment.

    Args:
        name: As registered: `CartPole-v1`, or `package.module:Name-v0`, which imports the module
            that registers it.
        arguments: Its own settings as `name=value`, values in YAML: `is_slippery=false`.
        max_episode_steps: Time limit instead of the registered one; 0 keeps that.
        render_mode: `rgb_array` for pictures.
        may_import: Whether a module in the name may be imported: not where the name was read
            from a file that somebody may have been given.

    Raises:
        UserError: No such environment, it cannot be made, or its actions are not discrete.
    """
    if ":" in name and not may_import:
        raise UserError(
            f"the file names the environment {name!r}, whose module is not imported unasked: "
            f"if you trust it, say --environment {name}"
        )
    given = read_arguments(arguments)
    if render_mode == "rgb_array":
        # Pictures are drawn in memory: no screen is looked for, none is missed.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if render_mode is not None:
        given["render_mode"] = render_mode
    with _one_line(name, given):
        environment = gymnasium.make(
            name,
            max_episode_steps=max_episode_steps or None,
            disable_env_checker=True,  # it looks at every step, and costs as much as one
            **given,
        )
    if not isinstance(environment.action_space, spaces.Discrete):
        environment.close()
        raise UserError(
            f"--environment {name}: its actions are {environment.action_space}, "
            "only discrete actions (Discrete) can be learned here"
        )
    return environment


def read_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """`name=value` words as a dict; values are YAML.

    Raises:
        UserError: A word without `=`, or a value that is not YAML.
    """
    given: dict[str, Any] = {}
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier() or key == "render_mode":
            raise UserError(f"--environment_arguments {word!r}: must be name=value")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--environment_arguments {word!r}: the value is no YAML") from error
    return given


class Observations:
    """How a network sees what an environment shows: one flat row of numbers.

    Numbers of a box as they are (bytes as 0 to 1), choices as one-hot rows, tuples and dicts of
    those one after another. Rows are kept as bytes where that loses nothing.

    Attributes:
        size: Length of a row.
        dtype: Type in which rows are kept.
        scale: Factor that makes network inputs out of kept rows.
    """

    def __init__(self, space: spaces.Space[Any], name: str = ""):
        self.space, self.scale = space, 1.0
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

    def write(self, raw: Any, row: np.ndarray) -> None:
        """Write an observation into a row (size,) of `dtype`."""
        if self._kind == "box":
            row[:] = raw if raw.ndim == 1 else raw.reshape(-1)
        elif self._kind == "discrete":
            row[:] = 0
            row[int(raw) - self._start] = 1
        else:
            row[:] = spaces.flatten(self.space, raw)

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """Kept rows as float32 for a network."""
        if rows.dtype == np.float32:
            return rows
        return rows.astype(np.float32) * np.float32(self.scale)


class Step(NamedTuple):
    """What one action in every environment led to.

    Attributes:
        successors: (N, size) observations that the actions led to, also where an episode ended.
        rewards: (N,) float32.
        terminated: (N,) bool, the episode came to its own end: nothing follows.
        truncated: (N,) bool, a time limit cut it off: something would follow.
    """

    successors: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Environments:
    """Several environments of a kind, side by side.

    Each is seeded once; its episodes then differ.

    Attributes:
        observations: (N, size) present observations, in the type of `seen.dtype`; a new array
            after each step.
        seen: How observations become rows.
        num_actions: How many actions there are.
        running: Score so far of each episode under way.
        lengths: Its number of steps so far.
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
        self._arguments, self._limit = arguments, max_episode_steps
        self.environments = [self.make_one() for _ in range(count)]
        first = self.environments[0]
        self.seen = Observations(first.observation_space, name)
        actions = first.action_space
        assert isinstance(actions, spaces.Discrete)  # make_environment looked
        self.num_actions, self._first_action = int(actions.n), int(actions.start)
        self.observations = np.zeros((count, self.seen.size), self.seen.dtype)
        self.running = [0.0] * count
        self.lengths = [0] * count
        self.finished: list[tuple[float, int]] = []
        self.reset("start")

    def make_one(self) -> gymnasium.Env[Any, Any]:
        """One more environment of the kind, not yet reset."""
        return make_environment(self.name, arguments=self._arguments, max_episode_steps=self._limit)

    def reset(self, *keys: str | int) -> None:
        """Begin a new episode everywhere, with seeds that depend on the keys."""
        self.observations = np.zeros_like(self.observations)
        for index in range(len(self.environments)):
            self.begin(index, hash_seed(self.seed, "environment", index, *keys))

    def begin(self, index: int, seed: int | None = None) -> None:
        """Begin a new episode in one environment."""
        with _one_line(self.name):
            raw, _ = self.environments[index].reset(seed=seed)
        self.seen.write(raw, self.observations[index])
        self.running[index], self.lengths[index] = 0.0, 0

    def step(self, actions: np.ndarray, places: Sequence[int] | None = None) -> Step:
        """Act in every environment; where an episode ends the next one begins at once.

        Args:
            actions: (N,) numbers from 0.
            places: The environments to act in, one per action; the others wait. All by default.
        """
        count = len(actions)
        if places is None:
            places = range(count)
        successors = np.empty((count, self.seen.size), self.seen.dtype)
        rewards = np.empty(count, np.float32)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        self.finished = []
        ended = []
        for row, (place, action) in enumerate(zip(places, actions.tolist(), strict=True)):
            result = self.environments[place].step(action + self._first_action)
            if len(result) != 5:
                raise UserError(
                    f"--environment {self.name}: step() returns {len(result)} values instead of "
                    "5: it was made for an older gym, not for gymnasium 1.0"
                )
            raw, reward, end, cut, _ = result
            self.seen.write(raw, successors[row])
            rewards[row] = reward
            self.running[place] += float(reward)
            self.lengths[place] += 1
            if end or cut:
                terminated[row], truncated[row] = end, cut and not end
                ended.append(place)
        observations = successors.copy() if ended else successors
        if count < len(self.environments):
            observations = self.observations.copy()
            observations[list(places)] = successors
        self.observations = observations
        for place in ended:
            self.finished.append((self.running[place], self.lengths[place]))
            self.begin(place)
        return Step(successors, rewards, terminated, truncated)

    def close(self) -> None:
        """Close all of them."""
        for environment in self.environments:
            environment.close()


@contextlib.contextmanager
def _one_line(name: str, given: dict[str, Any] | None = None) -> Iterator[None]:
    """Turn gymnasium's complaints into one line."""
    try:
        yield
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"--environment {name}: {' '.join(str(error).split())}") from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise UserError(f"--environment {name}: {' '.join(str(error).split())}") from error
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        arguments = ", ".join(given or ()) or "none given"
        raise UserError(
            f"--environment {name}: cannot be made with its arguments ({arguments}): "
            f"{' '.join(str(error).split())}"
        ) from error
