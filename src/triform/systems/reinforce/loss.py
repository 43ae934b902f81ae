"""Losses of REINFORCE: advantages, policy gradient, entropy bonus, baseline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8


def advantages(returns: Tensor, values: Tensor | None, *, normalize: bool) -> Tensor:
    """Returns minus the values of the baseline.

    Args:
        returns: Discounted rewards to go (T,) of all episodes of an update. Normalizing each
            episode by itself would give nan for a single step, and good episodes would count no
            more than bad ones.
        values: Values of the baseline (T,), or None.
        normalize: Normalize to mean 0 and deviation 1.

    Returns:
        (T,) without a graph.
    """
    result = returns if values is None else returns - values
    if normalize and len(result) > 1:
        result = (result - result.mean()) / (result.std() + EPSILON)
    return result.detach()


def policy_loss(
    logits: Tensor, actions: Tensor, advantage: Tensor, entropy_weight: float
) -> dict[str, Tensor]:
    """REINFORCE (Williams 1992; with baseline, Sutton and Barto 2018, section 13.4).

    Args:
        logits: Logits of all actions (T, A), with a graph.
        actions: Actions taken (T,).
        advantage: Their advantages (T,), without a graph.
        entropy_weight: Weight of the entropy bonus.

    Returns:
        Scalars: `policy` (to minimize), `entropy` (nats per action).
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    action_log_probs = log_probs.gather(1, actions[:, None])[:, 0]
    entropy = -(log_probs.exp() * log_probs).sum(1).mean()
    loss = -(action_log_probs * advantage).mean() - entropy_weight * entropy
    return {"policy": loss, "entropy": entropy}


def value_loss(values: Tensor, returns: Tensor) -> Tensor:
    """Mean squared error of the baseline (T,), both in units of `value_scale`."""
    return F.mse_loss(values.float(), returns)


def value_scale(gamma: float) -> float:
    """State value for an output of 1: the discounted sum of rewards of 1 without end."""
    return 1 / max(1 - gamma, 1e-3)


def with_bootstrap(
    returns: Tensor, bootstrap: Tensor, episodes: Tensor, last_values: Tensor
) -> Tensor:
    """Returns (T,) plus the discounted value of the state in which a time limit cut the episode.

    Args:
        returns: Rewards to go up to the end of the episode (T,).
        bootstrap: gamma to the power of the steps left, 0 where the episode terminated (T,).
        episodes: Index of the episode of each step (T,).
        last_values: Values of the final observation of each episode (E,).
    """
    return torch.addcmul(returns, bootstrap, last_values.detach()[episodes])
