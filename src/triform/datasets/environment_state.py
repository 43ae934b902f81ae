"""The state of an environment as plain data, where it is plain enough.

What an environment remembers lies in its attributes and in those of its wrappers: numbers,
arrays, lists, and a random generator. These are saved and put back; whatever else there is (a
physics engine, an emulator) is not. Whether that was all of it is found out by trying: two
environments, one of which takes over the state of the other, have to go on alike.
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
from triform.datasets.environments import Environments

logger = get_logger(__name__)

Environment = gymnasium.Env[Any, Any]
TRIALS, STEPS_BEFORE, STEPS_AFTER = 3, 7, 60


class SavedEnvironments:
    """Environments as something that a checkpoint keeps.

    Where their state cannot be saved, or another number of environments was saved, episodes
    begin anew with new seeds on `load_state_dict`, and the log says so.

    Args:
        environments: The environments.
        index: Number of this process: only the first one's state is in a checkpoint.
    """

    def __init__(self, environments: Environments, index: int = 0):
        self.environments, self.index = environments, index
        self._can_restore: bool | None = None
        self._times_resumed = 0

    def state_dict(self) -> dict[str, Any]:
        each = self.environments
        if self._can_restore is None:
            self._can_restore = can_restore(each.make_one)
            if not self._can_restore:
                logger.warning(
                    "%s cannot save its state: a run that is resumed begins new episodes with "
                    "new seeds; everything else goes on",
                    each.name,
                )
        return {
            "name": each.name,
            "count": len(each.environments),
            "times_resumed": self._times_resumed,
            "states": [snapshot(one) for one in each.environments] if self._can_restore else [],
            "observations": torch.from_numpy(each.observations.copy()),
            "running": list(each.running),
            "lengths": list(each.lengths),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        each = self.environments
        count = len(each.environments)
        fits = state["name"] == each.name and len(state["states"]) == count and not self.index
        if not fits:
            self._times_resumed = int(state["times_resumed"]) + 1
            each.reset("resumed", self._times_resumed)
            logger.warning(
                "%s: the episodes under way could not be taken up again; new ones begin, with "
                "new seeds, so this run is not the one that an uninterrupted run would have been",
                each.name,
            )
            return
        self._times_resumed = int(state["times_resumed"])
        for environment, saved in zip(each.environments, state["states"], strict=True):
            restore(environment, saved)
        observations = state["observations"].numpy()
        if observations.shape != each.observations.shape:
            raise ValueError(f"observations of {each.name} have another size")
        each.observations = observations.astype(each.seen.dtype)
        each.running = [float(score) for score in state["running"]]
        each.lengths = [int(length) for length in state["lengths"]]


def snapshot(environment: Environment) -> list[dict[str, Any]]:
    """Plain attributes of an environment and of its wrappers, the outermost first."""
    layers = []
    for layer in _layers(environment):
        kept = {}
        for name, value in vars(layer).items():
            saved = _to_plain(value)
            if saved is not None:
                kept[name] = saved
        layers.append(kept)
    return layers


def restore(environment: Environment, state: list[dict[str, Any]]) -> None:
    """Put a snapshot back; only into attributes that are there and hold plain values.

    Raises:
        ValueError: It is of an environment with other wrappers.
    """
    layers = list(_layers(environment))
    if len(layers) != len(state):
        raise ValueError(f"{len(state)} saved layers for an environment of {len(layers)}")
    for layer, kept in zip(layers, state, strict=True):
        attributes = vars(layer)
        for name, saved in kept.items():
            if name in attributes and _to_plain(attributes[name]) is not None:
                attributes[name] = _from_plain(saved)


def can_restore(make: Callable[[], Environment]) -> bool:
    """Whether a snapshot holds all that an environment goes on by: tried, not believed."""
    first, second = make(), make()
    random = np.random.default_rng(0)
    try:
        for trial in range(TRIALS):
            first.reset(seed=hash_seed("trial", trial))
            second.reset(seed=hash_seed("other", trial))
            for _ in range(STEPS_BEFORE * (trial + 1)):
                _advance(first, int(random.integers(first.action_space.n)))  # type: ignore[attr-defined]
            restore(second, snapshot(first))
            for _ in range(STEPS_AFTER):
                action = int(random.integers(first.action_space.n))  # type: ignore[attr-defined]
                if _advance(first, action) != _advance(second, action):
                    return False
        return True
    except (ValueError, TypeError, AttributeError, RuntimeError):
        return False
    finally:
        first.close()
        second.close()


def generator_state(generator: np.random.Generator) -> str:
    """State of a numpy generator as text."""
    return json.dumps(generator.bit_generator.state, default=lambda array: array.tolist())


def set_generator_state(generator: np.random.Generator, state: str) -> None:
    """Put back what `generator_state` returned."""
    generator.bit_generator.state = json.loads(state)


def _advance(environment: Environment, action: int) -> list[Any]:
    """One step, and a reset where it ends an episode; what was seen, comparable."""
    start = int(getattr(environment.action_space, "start", 0))
    raw, reward, terminated, truncated, _ = environment.step(action + start)
    seen = [_comparable(raw), float(reward), bool(terminated), bool(truncated)]
    if terminated or truncated:
        raw, _ = environment.reset()
        seen.append(_comparable(raw))
    return seen


def _comparable(raw: Any) -> Any:
    """An observation as bytes, in whatever dicts and tuples it comes."""
    if isinstance(raw, dict):
        return {key: _comparable(value) for key, value in raw.items()}
    if isinstance(raw, tuple | list):
        return [_comparable(value) for value in raw]
    return np.asarray(raw).tobytes()


def _layers(environment: Environment) -> list[Environment]:
    """An environment's wrappers, and itself as the last."""
    layers = [environment]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _to_plain(value: Any) -> dict[str, Any] | None:
    """A value as something that a checkpoint holds, with its kind; None where there is no way."""
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
        inner = [_to_plain(each) for each in value]
        if any(each is None for each in inner):
            return None
        return {"tuple" if isinstance(value, tuple) else "list": inner}
    return None


def _from_plain(saved: dict[str, Any]) -> Any:
    """What `_to_plain` was given."""
    ((kind, content),) = saved.items()
    if kind == "plain":
        return content
    if kind == "array":
        return content.numpy().copy()
    if kind == "scalar":
        return content.numpy()[()]
    if kind == "generator":
        generator = np.random.default_rng()
        set_generator_state(generator, content)
        return generator
    inner = [_from_plain(each) for each in content]
    return tuple(inner) if kind == "tuple" else inner
