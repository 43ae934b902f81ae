"""Transitions over several steps, against their definition."""

import numpy as np
import pytest

from triform.systems.dqn.n_step_buffer import NStepBuffer
from triform.tasks.agents.environments import Step

GAMMA = 0.5


def play(n_step_buffer: NStepBuffer, ends: list[str]) -> list[tuple]:
    """One environment whose step t shows t, does t, earns t + 1 and ends as said."""
    found = []
    for t, end in enumerate(ends):
        if t == 0 or ends[t - 1]:
            n_step_buffer.clear(0)
        step = Step(
            np.array([[t + 1.0]]),
            np.array([t + 1.0]),
            np.array([end == "terminated"]),
            np.array([end == "truncated"]),
        )
        rows = n_step_buffer.add(np.array([[float(t)]]), np.array([t]), step.rewards, step)
        found += [(row[0].item(), *row[1:3], row[3].item(), row[4]) for row in rows]
    return found


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_every_step_becomes_one_transition(num_steps, end):
    found = play(NStepBuffer(1, num_steps, GAMMA), ["", "", "", "", end, "", "", end])
    assert [row[1] for row in found] == list(range(8))
    for observation, action, reward, next_observation, bootstrap in found:
        last = min(action + num_steps, 5 if action < 5 else 8)  # what it leads to
        assert observation == action and next_observation == last
        assert reward == sum(GAMMA ** (k - action) * (k + 1) for k in range(action, last))
        over = end == "terminated" and last in (5, 8)
        assert bootstrap == (0 if over else GAMMA ** (last - action - 1))


def test_state_is_restored_and_cleared():
    n_step_buffer = NStepBuffer(1, 3, GAMMA)
    assert play(n_step_buffer, ["", ""]) == []
    restored = NStepBuffer(1, 3, GAMMA)
    restored.load_state_dict(n_step_buffer.state_dict())
    assert restored.steps == n_step_buffer.steps and len(restored.steps[0]) == 2
    other = NStepBuffer(2, 3, GAMMA)
    other.load_state_dict(n_step_buffer.state_dict())
    assert other.steps == [[], []]
    restored.clear(0)
    assert play(restored, ["", "", ""])[0][:2] == (0, 0)
