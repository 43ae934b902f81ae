"""The policy gradient against its closed form, and what surrounds it."""

import pytest
import torch

from triform.systems.reinforce.loss import (
    advantages,
    policy_loss,
    value_loss,
    value_scale,
    with_bootstrap,
)


def test_gradient_is_the_closed_form():
    """d(-log softmax(z)_a * A)/dz = A * (softmax(z) - onehot(a)), averaged over steps."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=random, requires_grad=True)
    actions = torch.randint(3, (7,), generator=random)
    advantage = torch.randn(7, generator=random)
    policy_loss(logits, actions, advantage, 0.0)["policy"].backward()
    onehot = torch.nn.functional.one_hot(actions, 3)
    expected = advantage[:, None] * (logits.detach().softmax(1) - onehot) / 7
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_its_expectation_is_the_gradient_of_the_expected_reward():
    """All actions of a bandit, each as often as its policy takes it."""
    logits = torch.tensor([0.2, -0.3, 0.5], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([1.0, 5.0, -2.0], dtype=torch.float64)
    (expected,) = torch.autograd.grad((logits.softmax(0) * rewards).sum(), logits)
    total = torch.zeros(3)
    for action, probability in enumerate(logits.softmax(0).tolist()):
        single = logits.detach().float()[None].requires_grad_()
        taken = torch.tensor([action])
        for baseline in (0.0, 3.0):  # a baseline changes nothing on average
            loss = policy_loss(single, taken, rewards[action : action + 1].float() - baseline, 0.0)
            (gradient,) = torch.autograd.grad(loss["policy"], single)
            total += probability * gradient[0] / 2
    assert torch.allclose(-total, expected.float(), atol=1e-5)


def test_entropy_is_that_of_the_policy_and_pushes_towards_chance():
    logits = torch.tensor([[2.0, 0.0]], requires_grad=True)
    losses = policy_loss(logits, torch.tensor([0]), torch.zeros(1), 0.1)
    expected = torch.distributions.Categorical(logits=logits).entropy()
    assert losses["entropy"].item() == pytest.approx(expected.item())
    assert losses["policy"].item() == pytest.approx(-0.1 * expected.item())
    losses["policy"].backward()
    assert logits.grad[0, 0] > 0 > logits.grad[0, 1]


def test_advantages():
    returns = torch.tensor([1.0, 2.0, 6.0])
    normal = advantages(returns, None, normalize=True)
    assert normal.mean().item() == pytest.approx(0, abs=1e-6)
    assert normal.std().item() == pytest.approx(1)
    plain = advantages(returns, torch.tensor([1.0, 1.0, 1.0]), normalize=False)
    assert plain.tolist() == [0, 1, 5]
    assert advantages(torch.tensor([3.0]), None, normalize=True).tolist() == [3]  # not nan
    assert torch.isfinite(advantages(torch.ones(4), None, normalize=True)).all()


def test_what_follows_a_time_limit_is_what_the_baseline_expects():
    returns, episodes = torch.tensor([1.9, 1.0, 1.0]), torch.tensor([0, 0, 1])
    bootstrap = torch.tensor([0.81, 0.9, 0.0])
    actual = with_bootstrap(returns, bootstrap, episodes, torch.tensor([10.0, 7.0]))
    assert actual.tolist() == pytest.approx([1.9 + 8.1, 1 + 9, 1])
    assert value_scale(0.99) == pytest.approx(100) and value_scale(1.0) == 1000
    assert value_loss(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])) == 2
