"""The state of environments is restored exactly, or a warning says that it cannot be."""

import io

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from triform.tasks.agents.environment_state import (
    EnvironmentState,
    can_restore,
    logger,
    restore,
    snapshot,
)
from triform.tasks.agents.environments import VectorEnv, make_env

SAVABLE = [
    *("CartPole-v1", "MountainCar-v0", "Acrobot-v1", "FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"),
    "Blackjack-v1",
]


class Hidden(gymnasium.Env):
    """Remembers in an object of its own, as a physics engine does."""

    observation_space = spaces.Box(0, 1e6, (1,))
    action_space = spaces.Discrete(2)

    class Engine:
        time = 0

    def __init__(self):
        self.engine = self.Engine()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.engine.time = int(self.np_random.integers(1000))
        return np.array([self.engine.time], np.float32), {}

    def step(self, action):
        self.engine.time += action
        return np.array([self.engine.time], np.float32), 1.0, False, False, {}


gymnasium.register("triform-test/Hidden-v0", Hidden, max_episode_steps=5)


def through_a_file(state):
    memory = io.BytesIO()
    torch.save(state, memory)
    memory.seek(0)
    return torch.load(memory, weights_only=True)


@pytest.mark.parametrize("name", SAVABLE)
def test_goes_on_exactly(name):
    def play(env, count, seed):
        rng = np.random.default_rng(seed)
        history = []
        for _ in range(count):
            step = env.step(rng.integers(env.num_actions, size=2))
            history += [part.tobytes() for part in step]
            history.append(
                (env.observations.tobytes(), list(env.episode_scores), list(env.finished))
            )
        return history

    first, second = (VectorEnv(name, 2, seed, max_episode_steps=15) for seed in (1, 2))
    play(first, 23, 0)
    state = through_a_file(EnvironmentState(first).state_dict())
    assert state["states"]
    EnvironmentState(second).load_state_dict(state)
    assert play(first, 60, 3) == play(second, 60, 3)


def test_hidden_state_is_detected_and_logged(monkeypatch):
    warnings = []
    monkeypatch.setattr(logger, "warning", lambda text, *_: warnings.append(text))
    assert not can_restore(lambda: make_env("triform-test/Hidden-v0"))
    env = VectorEnv("triform-test/Hidden-v0", 2, 0)
    env.step(np.array([1, 1]))
    saved = EnvironmentState(env)
    state = through_a_file(saved.state_dict())
    assert state["states"] == [] and "cannot save its state" in warnings[0]
    runs = []
    for _ in range(2):
        other = VectorEnv("triform-test/Hidden-v0", 2, 0)
        start = other.observations.copy()
        resumed = EnvironmentState(other)
        resumed.load_state_dict(state)
        assert other.episode_lengths == [0, 0] and not np.array_equal(other.observations, start)
        runs.append(other.observations.tobytes())
    assert runs[0] == runs[1] and "could not be taken up again" in warnings[1]
    resumed.load_state_dict(resumed.state_dict())  # resumed twice: other episodes again
    assert other.observations.tobytes() != runs[0]


def test_another_number_of_environments_begins_anew():
    state = EnvironmentState(VectorEnv("CartPole-v1", 2, 0)).state_dict()
    env = VectorEnv("CartPole-v1", 3, 0)
    EnvironmentState(env).load_state_dict(state)
    assert len(env.observations) == 3 and env.episode_lengths == [0, 0, 0]


def test_a_state_writes_plain_values_over_plain_values_only():
    environment = make_env("CartPole-v1")
    environment.reset(seed=0)
    state = snapshot(environment)
    state[-1]["step"] = {"plain": 1}
    state[-1]["action_space"] = {"plain": 1}
    state[-1]["gravity"] = {"plain": 5.0}
    restore(environment, state)
    inner = environment.unwrapped
    assert callable(inner.step) and isinstance(inner.action_space, spaces.Discrete)
    assert inner.gravity == 5.0
    with pytest.raises(ValueError, match="saved layers"):
        restore(environment, state[1:])
