"""The whole loss of the policy learner: advantages, policy, entropy, baseline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8


def advantages(returns: Tensor, values: Tensor | None, *, normalize: bool) -> Tensor:
    """How much better things went than expected.

    Args:
        returns: Discounted rewards to go (T,), of all episodes of an update together: brought to
            mean 0 and deviation 1 per episode, those of a single step would be nan, and good
            episodes would count no more than bad ones.
        values: What the baseline expected (T,), or None.
        normalize: Bring them to mean 0 and deviation 1.
    """
    result = returns if values is None else returns - values
    if normalize and len(result) > 1:
        result = (result - result.mean()) / (result.std() + EPSILON)
    return result.detach()


def policy_loss(
    logits: Tensor, actions: Tensor, advantage: Tensor, entropy_weight: float
) -> dict[str, Tensor]:
    """REINFORCE (Williams 1992; with baseline, Sutton and Barto 2018 section 13.4).

    Args:
        logits: Of all actions (T, A), with a graph.
        actions: Those that were taken (T,).
        advantage: What they brought (T,), without a graph.
        entropy_weight: Weight of the entropy bonus.

    Returns:
        Scalars: `policy` (to minimize), `entropy` (nats per action).
    """
    log_probabilities = F.log_softmax(logits.float(), dim=1)
    taken = log_probabilities.gather(1, actions[:, None])[:, 0]
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1).mean()
    loss = -(taken * advantage).mean() - entropy_weight * entropy
    return {"policy": loss, "entropy": entropy}


def value_loss(values: Tensor, returns: Tensor) -> Tensor:
    """Mean square error of the baseline (T,), both in units of `value_scale`."""
    return F.mse_loss(values.float(), returns)


def value_scale(gamma: float) -> float:
    """What a network that answers 1 says about a state: rewards of 1 for ever."""
    return 1 / max(1 - gamma, 1e-3)


def with_bootstrap(
    returns: Tensor, bootstrap: Tensor, episodes: Tensor, last_values: Tensor
) -> Tensor:
    """Returns (T,) plus what the baseline expects to come after a time limit.

    Args:
        returns: Rewards to go up to the end of the episode (T,).
        bootstrap: gamma to the power of the steps left, 0 where the episode terminated (T,).
        episodes: Which episode a step belongs to (T,).
        last_values: Worth of what each episode ended in (E,).
    """
    return torch.addcmul(returns, bootstrap, last_values.detach()[episodes])
