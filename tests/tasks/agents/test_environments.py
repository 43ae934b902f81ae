"""Environments: true next observations at every kind of end of an episode; errors in one line."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from triform.base.errors import UserError
from triform.base.seeding import hash_seed
from triform.tasks.agents.environments import ObservationEncoder, VectorEnv, make_env
from triform.tasks.agents.rollout import EnvironmentSpec, EpisodeRunner

LIMIT = 12


def lean(observations: np.ndarray) -> np.ndarray:
    """Push towards where the pole leans: episodes of 30 steps or so, most of them cut at 12."""
    return (observations[:, 2] + observations[:, 3] > 0).astype(np.int64)


def fall(observations: np.ndarray) -> np.ndarray:
    """Always left: the pole falls after 8 to 10 steps."""
    return np.zeros(len(observations), np.int64)


def of_gymnasium(mode: AutoresetMode, policy, steps: int) -> list[list[tuple]]:
    """Transitions out of gymnasium's own vector environment, by the rules of its mode."""
    make = lambda: gymnasium.make("CartPole-v1", max_episode_steps=LIMIT)  # noqa: E731
    vector = SyncVectorEnv([make, make], autoreset_mode=mode)
    observations, _ = vector.reset(seed=[hash_seed(5, "environment", i, "start") for i in range(2)])
    found: list[list[tuple]] = [[], []]
    skip = np.zeros(2, bool)
    for _ in range(steps):
        following, rewards, ended, cut, info = vector.step(policy(observations))
        for i in range(2):
            if skip[i]:
                continue
            next_observation = following[i]
            if (ended[i] or cut[i]) and mode is AutoresetMode.SAME_STEP:
                next_observation = info["final_obs"][i]
            found[i].append(
                (observations[i].tobytes(), next_observation.tobytes(), rewards[i], ended[i])
            )
        if mode is AutoresetMode.NEXT_STEP:
            skip = ended | cut
        elif mode is AutoresetMode.DISABLED and (ended | cut).any():
            following, _ = vector.reset(options={"reset_mask": ended | cut})
        observations = following.copy()
    vector.close()
    return found


@pytest.mark.parametrize("policy", [lean, fall])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_transitions_are_those_of_every_autoreset_mode(mode, policy):
    expected = of_gymnasium(mode, policy, 60)
    ours = VectorEnv("CartPole-v1", 2, 5, max_episode_steps=LIMIT)
    found: list[list[tuple]] = [[], []]
    ends = []
    for _ in range(60):
        observations = ours.observations
        step = ours.step(policy(observations))
        ends += [*step.terminated, *step.truncated]
        for i in range(2):
            row = (observations[i].tobytes(), step.next_observations[i].tobytes())
            found[i].append((*row, step.rewards[i], step.terminated[i]))
    ours.close()
    assert sum(ends) > 4
    for mine, theirs in zip(found, expected, strict=True):
        assert len(theirs) > 45  # one of the modes wastes a step per episode
        assert mine[: len(theirs)] == theirs


def test_a_time_limit_is_no_termination_and_scores_are_counted():
    env = VectorEnv("CartPole-v1", 1, 0, max_episode_steps=3)
    for number in range(1, 7):
        step = env.step(np.array([number % 2]))
        assert not step.terminated.any() and step.truncated[0] == (number % 3 == 0)
        assert env.finished == ([(3.0, 3)] if number % 3 == 0 else [])
        new = not np.array_equal(step.next_observations, env.observations)
        assert new == (number % 3 == 0)


def test_seeded_once_episodes_differ_but_runs_do_not():
    starts = []
    for _ in range(2):
        env = VectorEnv("CartPole-v1", 1, 7, max_episode_steps=1)
        mine = []
        for _ in range(4):
            mine.append(env.observations.tobytes())
            env.step(np.array([0]))
        starts.append(mine)
    assert starts[0] == starts[1] and len(set(starts[0])) == 4


def test_acting_in_some_leaves_the_others_alone():
    env = VectorEnv("CartPole-v1", 3, 0)
    before = env.observations.copy()
    step = env.step(np.array([1, 0]), [0, 2])
    assert step.next_observations.shape == (2, 4) and env.episode_lengths == [1, 0, 1]
    assert np.array_equal(env.observations[1], before[1])
    assert np.array_equal(env.observations[[0, 2]], step.next_observations)


def test_observations_become_rows():
    numbers = ObservationEncoder(spaces.Box(-1, 1, (2, 3), np.float64))
    row = np.zeros(6, numbers.dtype)
    numbers.encode_into(row, np.arange(6.0).reshape(2, 3))
    assert numbers.size == 6 and row.tolist() == [0, 1, 2, 3, 4, 5]
    assert numbers.inputs(row[None]).dtype == np.float32

    pixels = ObservationEncoder(spaces.Box(0, 255, (2, 2), np.uint8))
    assert pixels.dtype == np.uint8
    assert pixels.inputs(np.array([[255, 0, 51, 0]], np.uint8)) == pytest.approx(
        np.array([[1, 0, 0.2, 0]])
    )

    choice = ObservationEncoder(spaces.Discrete(4, start=10))
    row = np.ones(4, choice.dtype)
    choice.encode_into(row, np.int64(12))
    assert row.tolist() == [0, 0, 1, 0] and choice.inputs(row[None]).tolist() == [[0, 0, 1, 0]]

    several = ObservationEncoder(spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (1,))]))
    row = np.zeros(3, several.dtype)
    several.encode_into(row, (1, np.array([5.0], np.float32)))
    assert row.tolist() == [0, 1, 5]
    with pytest.raises(UserError, match="no fixed length"):
        ObservationEncoder(spaces.Sequence(spaces.Discrete(2)), "Odd-v0")


class NewStyle(gymnasium.Env):
    """Actions begin at 1."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert action in (1, 2)
        return np.full(1, action - 1, np.float32), float(action), False, False, {}


class FourValues(NewStyle):
    """As gym did before 0.26."""

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, {}


class ObservationAlone(NewStyle):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class WithoutSeed(NewStyle):
    def reset(self):
        return np.zeros(1, np.float32)


class WrongShape(NewStyle):
    def step(self, action):
        return [0.0, 1.0], 0.0, False, False, {}


class Broken(NewStyle):
    def step(self, action):
        raise KeyError("level 3")


class Lists(NewStyle):
    observation_space = spaces.Box(0, 9, (2, 2))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return [[1, 2], [3, 4]], {}

    def step(self, action):
        return [[5, 6], [7, 8.5]], 1, False, False, {}


for kind in (NewStyle, FourValues, ObservationAlone, WithoutSeed, WrongShape, Broken, Lists):
    gymnasium.register(f"triform-test/{kind.__name__}-v0", kind, max_episode_steps=9)


def test_actions_are_numbered_from_0():
    env = VectorEnv("triform-test/NewStyle-v0", 2, 0)
    assert env.step(np.array([0, 1])).rewards.tolist() == [1, 2] and env.num_actions == 2


def test_arguments_reach_the_environment():
    environment = make_env("FrozenLake-v1", arguments=("is_slippery=false", "map_name=8x8"))
    assert environment.observation_space.n == 64
    environment.reset(seed=0)
    assert environment.step(1)[0] == 8  # down, and not to the side


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "CartPoll-v1"}, "CartPoll"),
        ({"name": "CartPole-v99"}, "v99"),
        ({"name": "no_such_module:Thing-v0"}, "no_such_module"),
        ({"name": "Pendulum-v1"}, "only discrete actions"),
        ({"name": "CartPole-v1", "arguments": ("wheels",)}, "must be name=value"),
        ({"name": "CartPole-v1", "arguments": ("wheels=3",)}, "wheels"),
        ({"name": "CartPole-v1", "arguments": ("a={",)}, "no YAML"),
        ({"name": "CartPole-v1", "arguments": ("render_mode=human",)}, "must be name=value"),
        ({"name": "os:CartPole-v1", "may_import": False}, "--environment os:CartPole-v1"),
    ],
)
def test_errors_are_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        make_env(settings.pop("name"), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FourValues", r"step\(\) returns 4 values instead of 5: it was made for an older gym"),
        (
            "ObservationAlone",
            r"reset\(\) returns the observation alone .*: it was made for an older",
        ),
        ("WithoutSeed", r"reset\(\) fails \(TypeError: .*'seed'\): it was made for an older gym"),
        ("WrongShape", r"has shape \(2,\), but its observation_space has \(1,\)"),
        ("Broken", r"step\(\) fails \(KeyError: 'level 3'\)$"),
    ],
)
def test_environments_of_another_interface_are_refused(name, message):
    name = f"triform-test/{name}-v0"
    for make in (lambda: VectorEnv(name, 1, 0), lambda: EpisodeRunner(EnvironmentSpec(name, 0))):
        with pytest.raises(UserError, match=message) as caught:
            make()
        assert str(caught.value).startswith(f"--environment {name}: ")
        assert "\n" not in str(caught.value)


def test_observations_may_be_lists():
    env = VectorEnv("triform-test/Lists-v0", 1, 0)
    assert env.observations.tolist() == [[1, 2, 3, 4]]
    assert env.step(np.array([0])).next_observations.tolist() == [[5, 6, 7, 8.5]]
