"""Replay buffer, exploration, and when updates are due."""

import numpy as np
import pytest
import torch

from triform.systems.dqn.config import DataConfig
from triform.systems.dqn.data import Collector, ReplayBuffer
from triform.systems.dqn.n_step_buffer import NStepBuffer
from triform.tasks.agents.environments import VectorEnv
from triform.tasks.agents.score_record import ScoreRecord


def filled(capacity: int, count: int, dtype=np.float32) -> ReplayBuffer:
    replay = ReplayBuffer(capacity, 2, np.dtype(dtype), 1 / 255 if dtype == np.uint8 else 1.0)
    for number in range(count):
        row = np.array([[number, number]], dtype)
        flag = np.array([number % 2 == 0])
        replay.add(row, np.array([number % 3]), np.array([number / 2]), row + 1, flag)
    return replay


def indices_in(replay: ReplayBuffer) -> list[int]:
    return sorted(replay.columns["observation"][: len(replay), 0].int().tolist())


def test_the_ring_keeps_the_newest():
    replay = filled(5, 3)
    assert len(replay) == 3 and indices_in(replay) == [0, 1, 2]
    replay = filled(5, 12)
    assert len(replay) == 5 and indices_in(replay) == [7, 8, 9, 10, 11]


def test_batches_belong_together_and_do_not_depend_on_how_they_are_gathered():
    replay = filled(50, 50)
    rows = torch.randint(50, (70, 4), generator=torch.Generator().manual_seed(0))
    batches = list(replay.batches(rows))
    assert len(batches) == 70
    for row, batch in zip(rows, batches, strict=True):
        assert torch.equal(batch["observation"][:, 0], row.float())
        assert torch.equal(batch["next_observation"], batch["observation"] + 1)
        assert torch.equal(batch["action"], row % 3)
        assert torch.equal(batch["reward"], row / 2)
        assert torch.equal(batch["bootstrap"], (row % 2 == 0).float())
    repeated = list(replay.batches(rows[37:]))
    assert all(
        torch.equal(a["reward"], b["reward"]) for a, b in zip(repeated, batches[37:], strict=True)
    )


def test_bytes_stay_bytes_and_come_out_as_numbers():
    replay = filled(8, 8, np.uint8)
    assert replay.columns["observation"].dtype == torch.uint8
    (batch,) = replay.batches(torch.tensor([[7, 0]]))
    assert batch["observation"].tolist() == [pytest.approx([7 / 255] * 2), [0, 0]]


@pytest.mark.parametrize(("saved", "count"), [(5, 3), (5, 5), (5, 12)])
@pytest.mark.parametrize("capacity", [3, 5, 9])
def test_a_saved_replay_goes_on(saved, count, capacity):
    before = filled(saved, count)
    after = ReplayBuffer(capacity, 2, np.dtype(np.float32), 1.0)
    after.load_state_dict(before.state_dict())
    assert indices_in(after) == indices_in(before)[-capacity:]
    for replay in (before, after):
        row = np.full((1, 2), 100, np.float32)
        replay.add(row, np.array([0]), np.array([0.0]), row, np.array([True]))
    expected = [*indices_in(filled(saved, count)), 100][-min(capacity, count + 1) :]
    assert indices_in(after) == expected
    if capacity == saved:
        assert torch.equal(after.columns["observation"], before.columns["observation"])


def collector(greedy=None, failure_reward=None, **settings) -> Collector:
    config = DataConfig(**{"learning_starts": 20, "batch_size": 4, **settings})
    environments = VectorEnv(config.environment, config.num_environments, 0)
    return Collector(
        config,
        environments,
        ReplayBuffer(config.replay_size, 4, np.dtype(np.float32), 1.0),
        ScoreRecord(""),
        greedy or (lambda rows: np.zeros(len(rows), np.int64)),
        seed=0,
        failure_reward=failure_reward,
    )


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({}, 81),  # one per step, from the step in which learning starts
        ({"train_every": 4}, 20),
        ({"train_every": 16, "gradient_steps": 8}, 40),
        ({"num_environments": 4}, 84),
        ({"num_environments": 4, "train_every": 8, "gradient_steps": 3}, 30),
    ],
)
def test_updates_keep_their_ratio_to_steps(settings, updates):
    agent = collector(steps_per_epoch=100, **settings)
    assert len(list(agent.batches())) == updates
    assert agent.steps == 100 and agent.steps_in_epoch == 0


def test_exploration_falls_as_documented():
    agent = collector(epsilon_every=10, epsilon_decay=0.9, epsilon_min=0.5)
    expected = {0: 1, 20: 1, 29: 1, 30: 0.9, 45: 0.81, 1000: 0.5}
    for steps, epsilon in expected.items():
        agent.steps = steps
        assert agent.epsilon == pytest.approx(epsilon)


def test_share_of_random_actions_is_epsilon():
    agent = collector(lambda rows: np.ones(len(rows), np.int64), epsilon=0.3, epsilon_decay=1)
    agent.steps = 20
    actions = [agent.epsilon_greedy(agent.env.observations)[0] for _ in range(4000)]
    assert np.mean(actions) == pytest.approx(0.85, abs=0.02)  # half of the random ones, 3.5 sigma
    agent.steps = 0
    actions = [agent.epsilon_greedy(agent.env.observations)[0] for _ in range(4000)]
    assert np.mean(actions) == pytest.approx(0.5, abs=0.03)


def test_a_punishment_is_learned_from_but_never_scored():
    agent = collector(failure_reward=-10.0, steps_per_epoch=200)
    list(agent.batches())
    rewards = agent.replay_buffer.columns["reward"][: len(agent.replay_buffer)]
    ended = agent.replay_buffer.columns["bootstrap"][: len(agent.replay_buffer)] == 0
    assert set(rewards[ended].tolist()) == {-10.0} and set(rewards[~ended].tolist()) == {1.0}
    assert agent.record.scores and all(score >= 8 for _, score in agent.record.scores)


def test_what_an_episode_before_left_open_is_forgotten():
    """As after a resume that begins new episodes: its steps belong to nothing that follows."""
    agent = collector(num_environments=2)
    agent.n_step_buffer = NStepBuffer(2, 3, 0.9)
    agent.step()
    agent.step()
    assert [len(steps) for steps in agent.n_step_buffer.steps] == [2, 2]
    agent.env.episode_lengths[1] = 0  # begun anew
    agent.step()
    # The first has three steps and gives the oldest away; of the second only the new one is left.
    assert [len(steps) for steps in agent.n_step_buffer.steps] == [2, 1]
    assert len(agent.replay_buffer) == 1
