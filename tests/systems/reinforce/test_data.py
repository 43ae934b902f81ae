"""Whole episodes: returns by hand, nothing cut off, nothing favoured."""

import numpy as np
import pytest
import torch

from triform.systems.reinforce.config import DataConfig
from triform.systems.reinforce.data import Collector, rewards_to_go
from triform.tasks.agents.environments import VectorEnv
from triform.tasks.agents.score_record import ScoreRecord


def test_rewards_to_go_by_hand():
    assert rewards_to_go(np.array([1.0, 2.0, 4.0]), 0.5).tolist() == [3, 4, 4]
    rewards = np.random.default_rng(0).normal(size=40)
    expected = [sum(0.9 ** (k - t) * rewards[k] for k in range(t, 40)) for t in range(40)]
    assert rewards_to_go(rewards, 0.9) == pytest.approx(np.array(expected), abs=1e-6)


def collector(count, logits=(0.0, 0.0), limit=0, **settings) -> Collector:
    config = DataConfig(batch_size=count, **settings)
    environments = VectorEnv("CartPole-v1", count, 0, max_episode_steps=limit)
    row = np.array([logits], np.float32)
    return Collector(
        config,
        environments,
        ScoreRecord(""),
        lambda rows: row.repeat(len(rows), 0),
        seed=0,
        gamma=0.9,
    )


def test_a_batch_is_one_whole_episode_of_every_environment():
    each = collector(5)
    starts = each.env.observations.copy()
    batch = each.collect()
    lengths = batch["episode"].bincount()
    assert len(lengths) == 5 and lengths.sum() == each.steps == len(batch["action"])
    assert [score for _, score in each.record.scores] == lengths.tolist()
    assert each.env.episode_lengths == [0] * 5  # nothing is under way
    for number in range(5):
        mine = batch["episode"] == number
        assert batch["observation"][mine][0].numpy() == pytest.approx(starts[number])
        expected = rewards_to_go(np.ones(int(lengths[number])), 0.9)
        assert batch["returns"][mine].numpy() == pytest.approx(expected)
        angle = batch["last_observation"][number]
        assert abs(angle[2]) > 0.2 or abs(angle[0]) > 2.4  # the pole has fallen
    assert not batch["bootstrap"].any()


def test_a_time_limit_leaves_something_to_expect():
    batch = collector(2, limit=5).collect()
    assert batch["bootstrap"].tolist() == pytest.approx([0.9**n for n in (5, 4, 3, 2, 1)] * 2)
    assert batch["returns"][0] == pytest.approx(1 + 0.9 + 0.81 + 0.729 + 0.6561)


def test_actions_follow_the_policy():
    batch = collector(40, logits=(0.0, 1.0)).collect()
    share = float(batch["action"].float().mean())
    sigma = 0.5 / len(batch["action"]) ** 0.5
    expected = float(torch.tensor([0.0, 1.0]).softmax(0)[1])
    assert share == pytest.approx(expected, abs=4 * sigma)


def test_an_epoch_ends_with_its_last_episode():
    each = collector(3, steps_per_epoch=200)
    batches = []
    for batch in each.batches():
        batches.append(batch)
        each.is_epoch_over = each.has_enough
    assert sum(len(batch["action"]) for batch in batches) == each.steps >= 200
    assert each.steps - len(batches[-1]["action"]) < 200 and each.steps_in_epoch == 0
