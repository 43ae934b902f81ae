"""Saves and restores the state of environments as plain data.

The state of an environment is the attributes of the environment and of its wrappers: numbers,
arrays, lists and a random generator are saved; anything else (a physics engine, an emulator)
cannot be. Whether an environment has such hidden state is tested: two environments, one restored
from the other, must go on alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch

from triform.base.logging import get_logger
from triform.base.seeding import hash_seed
from triform.tasks.agents.environments import Env, VectorEnv

logger = get_logger(__name__)

NUM_TRIALS, STEPS_BEFORE, STEPS_AFTER = 3, 7, 60


class EnvironmentState:
    """The state of a `VectorEnv` for a checkpoint.

    Where the state cannot be saved, or the number of environments has changed,
    `load_state_dict` starts new episodes with new seeds and logs a warning.

    Args:
        env: The environments.
        process_index: Index of this process; a checkpoint holds the state of process 0.
    """

    def __init__(self, env: VectorEnv, process_index: int = 0):
        self.env, self.process_index = env, process_index
        self._can_restore: bool | None = None
        self._times_resumed = 0

    def state_dict(self) -> dict[str, Any]:
        env = self.env
        if self._can_restore is None:
            self._can_restore = can_restore(env.make_one)
            if not self._can_restore:
                logger.warning(
                    "%s cannot save its state: a run that is resumed begins new episodes with "
                    "new seeds; everything else goes on",
                    env.name,
                )
        return {
            "name": env.name,
            "count": len(env.envs),
            "times_resumed": self._times_resumed,
            "states": [snapshot(one) for one in env.envs] if self._can_restore else [],
            "observations": torch.from_numpy(env.observations.copy()),
            "episode_scores": list(env.episode_scores),
            "episode_lengths": list(env.episode_lengths),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        env = self.env
        is_same_env = state["name"] == env.name and len(state["states"]) == len(env.envs)
        if not is_same_env or self.process_index:
            self._times_resumed = int(state["times_resumed"]) + 1
            env.reset("resumed", self._times_resumed)
            logger.warning(
                "%s: the episodes under way could not be taken up again; new ones begin, with "
                "new seeds, so this run is not the one that an uninterrupted run would have been",
                env.name,
            )
            return
        self._times_resumed = int(state["times_resumed"])
        for one, saved in zip(env.envs, state["states"], strict=True):
            restore(one, saved)
        observations = state["observations"].numpy()
        if observations.shape != env.observations.shape:
            raise ValueError(f"observations of {env.name} have another size")
        env.observations = observations.astype(env.encoder.dtype)
        env.episode_scores = [float(score) for score in state["episode_scores"]]
        env.episode_lengths = [int(length) for length in state["episode_lengths"]]


def snapshot(env: Env) -> list[dict[str, Any]]:
    """Plain attributes of an environment and of its wrappers, outermost first."""
    return [
        {
            name: saved
            for name, value in vars(layer).items()
            if (saved := _to_plain(value)) is not None
        }
        for layer in _layers(env)
    ]


def restore(env: Env, state: list[dict[str, Any]]) -> None:
    """Restore a snapshot; writes only to attributes that exist and hold plain values.

    Raises:
        ValueError: The snapshot is of an environment with other wrappers.
    """
    layers = _layers(env)
    if len(layers) != len(state):
        raise ValueError(f"{len(state)} saved layers for an environment of {len(layers)}")
    for layer, saved_attributes in zip(layers, state, strict=True):
        attributes = vars(layer)
        for name, saved in saved_attributes.items():
            if name in attributes and _to_plain(attributes[name]) is not None:
                attributes[name] = _from_plain(saved)


def can_restore(make: Callable[[], Env]) -> bool:
    """Whether an environment goes on alike from its snapshot, found out by trying."""
    first, second = make(), make()
    rng = np.random.default_rng(0)
    try:
        for trial in range(NUM_TRIALS):
            first.reset(seed=hash_seed("trial", trial))
            second.reset(seed=hash_seed("other", trial))
            for _ in range(STEPS_BEFORE * (trial + 1)):
                _step(first, int(rng.integers(first.action_space.n)))  # type: ignore[attr-defined]
            restore(second, snapshot(first))
            for _ in range(STEPS_AFTER):
                action = int(rng.integers(first.action_space.n))  # type: ignore[attr-defined]
                if _step(first, action) != _step(second, action):
                    return False
        return True
    except (ValueError, TypeError, AttributeError, RuntimeError):
        return False
    finally:
        first.close()
        second.close()


def generator_state(rng: np.random.Generator) -> str:
    """State of a numpy generator as text."""
    return json.dumps(rng.bit_generator.state, default=lambda array: array.tolist())


def set_generator_state(rng: np.random.Generator, state: str) -> None:
    """Restore what `generator_state` returned."""
    rng.bit_generator.state = json.loads(state)


def _step(env: Env, action: int) -> list[Any]:
    """Result of one step, and of the reset where it ends an episode, in comparable form."""
    start = int(getattr(env.action_space, "start", 0))
    observation, reward, terminated, truncated, _ = env.step(action + start)
    result = [_comparable(observation), float(reward), bool(terminated), bool(truncated)]
    if terminated or truncated:
        observation, _ = env.reset()
        result.append(_comparable(observation))
    return result


def _comparable(observation: Any) -> Any:
    """An observation with bytes in place of arrays."""
    if isinstance(observation, dict):
        return {key: _comparable(value) for key, value in observation.items()}
    if isinstance(observation, tuple | list):
        return [_comparable(value) for value in observation]
    return np.asarray(observation).tobytes()


def _layers(env: Env) -> list[Env]:
    """The wrappers of an environment, outermost first, and the environment itself."""
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _to_plain(value: Any) -> dict[str, Any] | None:
    """A value as plain data with its kind; None where that is impossible."""
    if isinstance(value, str):
        return {"plain": str(value)}  # numpy's strings are strings, but not for a checkpoint
    if isinstance(value, np.generic | np.ndarray):
        if value.dtype.kind not in "biuf":
            return None
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: torch.from_numpy(np.array(value, order="C"))}
    if value is None or isinstance(value, bool | int | float):
        return {"plain": value}
    if isinstance(value, np.random.Generator):
        if isinstance(value.bit_generator, np.random.PCG64):
            return {"generator": generator_state(value)}
        return None
    if isinstance(value, list | tuple):
        elements = [_to_plain(element) for element in value]
        if any(element is None for element in elements):
            return None
        return {"tuple" if isinstance(value, tuple) else "list": elements}
    return None


def _from_plain(saved: dict[str, Any]) -> Any:
    """Inverse of `_to_plain`."""
    ((kind, content),) = saved.items()
    if kind == "plain":
        return content
    if kind == "array":
        return content.numpy().copy()
    if kind == "scalar":
        return content.numpy()[()]
    if kind == "generator":
        rng = np.random.default_rng()
        set_generator_state(rng, content)
        return rng
    elements = [_from_plain(element) for element in content]
    return tuple(elements) if kind == "tuple" else elements
