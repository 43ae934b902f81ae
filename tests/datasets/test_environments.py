"""Environments: what a step leads to, in whatever way an episode ends; and one-line complaints."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from triform.base.errors import UserError
from triform.base.seeding import hash_seed
from triform.datasets.environments import Environments, Observations, make_environment

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
    seen, _ = vector.reset(seed=[hash_seed(5, "environment", i, "start") for i in range(2)])
    found: list[list[tuple]] = [[], []]
    skip = np.zeros(2, bool)
    for _ in range(steps):
        following, rewards, ended, cut, info = vector.step(policy(seen))
        for i in range(2):
            if skip[i]:
                continue
            successor = following[i]
            if (ended[i] or cut[i]) and mode is AutoresetMode.SAME_STEP:
                successor = info["final_obs"][i]
            found[i].append((seen[i].tobytes(), successor.tobytes(), rewards[i], ended[i]))
        if mode is AutoresetMode.NEXT_STEP:
            skip = ended | cut
        elif mode is AutoresetMode.DISABLED and (ended | cut).any():
            following, _ = vector.reset(options={"reset_mask": ended | cut})
        seen = following.copy()
    vector.close()
    return found


@pytest.mark.parametrize("policy", [lean, fall])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_transitions_are_those_of_every_autoreset_mode(mode, policy):
    expected = of_gymnasium(mode, policy, 60)
    ours = Environments("CartPole-v1", 2, 5, max_episode_steps=LIMIT)
    found: list[list[tuple]] = [[], []]
    ends = []
    for _ in range(60):
        seen = ours.observations
        step = ours.step(policy(seen))
        ends += [*step.terminated, *step.truncated]
        for i in range(2):
            row = (seen[i].tobytes(), step.successors[i].tobytes())
            found[i].append((*row, step.rewards[i], step.terminated[i]))
    ours.close()
    assert sum(ends) > 4
    for mine, theirs in zip(found, expected, strict=True):
        assert len(theirs) > 45  # one of the modes wastes a step per episode
        assert mine[: len(theirs)] == theirs


def test_a_time_limit_is_no_termination_and_scores_are_counted():
    each = Environments("CartPole-v1", 1, 0, max_episode_steps=3)
    for number in range(1, 7):
        step = each.step(np.array([number % 2]))
        assert not step.terminated.any() and step.truncated[0] == (number % 3 == 0)
        assert each.finished == ([(3.0, 3)] if number % 3 == 0 else [])
        new = not np.array_equal(step.successors, each.observations)
        assert new == (number % 3 == 0)


def test_seeded_once_episodes_differ_but_runs_do_not():
    starts = []
    for _ in range(2):
        each = Environments("CartPole-v1", 1, 7, max_episode_steps=1)
        mine = []
        for _ in range(4):
            mine.append(each.observations.tobytes())
            each.step(np.array([0]))
        starts.append(mine)
    assert starts[0] == starts[1] and len(set(starts[0])) == 4


def test_acting_in_some_leaves_the_others_alone():
    each = Environments("CartPole-v1", 3, 0)
    before = each.observations.copy()
    step = each.step(np.array([1, 0]), [0, 2])
    assert step.successors.shape == (2, 4) and each.lengths == [1, 0, 1]
    assert np.array_equal(each.observations[1], before[1])
    assert np.array_equal(each.observations[[0, 2]], step.successors)


def test_observations_become_rows():
    numbers = Observations(spaces.Box(-1, 1, (2, 3), np.float64))
    row = np.zeros(6, numbers.dtype)
    numbers.write(np.arange(6.0).reshape(2, 3), row)
    assert numbers.size == 6 and row.tolist() == [0, 1, 2, 3, 4, 5]
    assert numbers.inputs(row[None]).dtype == np.float32

    pixels = Observations(spaces.Box(0, 255, (2, 2), np.uint8))
    assert pixels.dtype == np.uint8
    assert pixels.inputs(np.array([[255, 0, 51, 0]], np.uint8)) == pytest.approx(
        np.array([[1, 0, 0.2, 0]])
    )

    choice = Observations(spaces.Discrete(4, start=10))
    row = np.ones(4, choice.dtype)
    choice.write(np.int64(12), row)
    assert row.tolist() == [0, 0, 1, 0] and choice.inputs(row[None]).tolist() == [[0, 0, 1, 0]]

    several = Observations(spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (1,))]))
    row = np.zeros(3, several.dtype)
    several.write((1, np.array([5.0], np.float32)), row)
    assert row.tolist() == [0, 1, 5]
    with pytest.raises(UserError, match="no fixed length"):
        Observations(spaces.Sequence(spaces.Discrete(2)), "Odd-v0")


class OldStyle(gymnasium.Env):
    """Steps in four values, as gym did before 0.26; actions begin at 1."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert action in (1, 2)
        return np.zeros(1, np.float32), 0.0, False, {}


class NewStyle(OldStyle):
    def step(self, action):
        return np.full(1, action - 1, np.float32), float(action), False, False, {}


gymnasium.register("triform-test/Old-v0", OldStyle, order_enforce=False)
gymnasium.register("triform-test/New-v0", NewStyle)


def test_actions_are_numbered_from_0():
    each = Environments("triform-test/New-v0", 2, 0)
    assert each.step(np.array([0, 1])).rewards.tolist() == [1, 2] and each.num_actions == 2


def test_arguments_reach_the_environment():
    environment = make_environment("FrozenLake-v1", arguments=("is_slippery=false", "map_name=8x8"))
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
def test_complaints_are_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        make_environment(settings.pop("name"), **settings)
    assert "\n" not in str(caught.value)


def test_an_old_environment_is_told_apart():
    with pytest.raises(UserError, match="returns 4 values instead of 5"):
        Environments("triform-test/Old-v0", 1, 0).step(np.array([0]))
