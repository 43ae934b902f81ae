"""Targets and errors by hand."""

import pytest
import torch
import torch.nn.functional as F

from triform.systems.dqn.loss import td_loss, td_targets

REWARDS = torch.tensor([1.0, 2.0, 3.0])
GOES_ON = torch.tensor([1.0, 0.0, 1.0])
RATED = torch.tensor([[1.0, 5.0], [7.0, 8.0], [4.0, 2.0]])


def test_targets_by_hand():
    targets = td_targets(REWARDS, GOES_ON, RATED, None, 0.5)
    assert targets.tolist() == [1 + 2.5, 2, 3 + 2]
    selected = torch.tensor([[9.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    targets = td_targets(REWARDS, GOES_ON, RATED, selected, 0.5)
    assert targets.tolist() == [1 + 0.5, 2, 3 + 1]


def test_double_q_is_not_too_high_where_all_is_noise():
    """Two estimates of values that are all 0: one network's maximum is not 0, the pair's is."""
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(20_000, 4, generator=random) for _ in range(2))
    zeros, ones = torch.zeros(20_000), torch.ones(20_000)
    single = td_targets(zeros, ones, first, None, 1.0).mean()
    double = td_targets(zeros, ones, first, second, 1.0).mean()
    assert single == pytest.approx(1.029, abs=0.03)  # the mean of the largest of four normals
    assert double == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("kind", "reference"), [("huber", F.huber_loss), ("mse", F.mse_loss)])
def test_error_is_that_of_the_action_taken(kind, reference):
    values = RATED.clone().requires_grad_()
    targets = torch.tensor([1.5, 3.0, 4.0])
    losses = td_loss(values, torch.tensor([0, 1, 0]), targets, kind)
    assert losses["loss"] == reference(torch.tensor([1.0, 8.0, 4.0]), targets)
    assert losses["q"] == pytest.approx(13 / 3)
    losses["loss"].backward()
    assert (values.grad != 0).tolist() == [[True, False], [False, True], [False, False]]
