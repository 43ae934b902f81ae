"""Temporal-difference targets and loss of deep Q-learning."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def td_targets(
    rewards: Tensor,
    bootstrap: Tensor,
    target_values: Tensor,
    online_values: Tensor | None,
    gamma: float,
) -> Tensor:
    """Temporal-difference targets (arXiv:1312.5602, equation 3).

    With `online_values` the online network selects the action and the target network evaluates
    it (double Q-learning, arXiv:1509.06461, equation 4): the maximum of noisy values is too high
    on average.

    Args:
        rewards: (B,).
        bootstrap: (B,), 0 where the episode terminated, else 1 (also where a time limit cut it);
            for n-step `rewards` gamma to the power of n - 1.
        target_values: Q-values (B, A) of the target network for the next observations.
        online_values: Q-values (B, A) of the online network for them, or None.
        gamma: Discount factor.

    Returns:
        (B,).
    """
    target_values = target_values.float()
    if online_values is None:
        next_values = target_values.amax(1)
    else:
        next_values = target_values.gather(1, online_values.argmax(1, keepdim=True))[:, 0]
    return rewards + gamma * bootstrap * next_values


def td_loss(
    values: Tensor, actions: Tensor, targets: Tensor, kind: Literal["huber", "mse"]
) -> dict[str, Tensor]:
    """Mean temporal-difference error of the actions taken.

    Huber's loss is quadratic up to an error of 1 and linear beyond, which limits the effect of
    single large errors (Nature 518, 529: "clipping the error term").

    Args:
        values: Q-values (B, A) with a graph.
        actions: Actions taken (B,).
        targets: (B,) without a graph.
        kind: Loss function.

    Returns:
        Scalars: `loss`, and `q`, the mean value of the actions taken.
    """
    action_values = values.float().gather(1, actions[:, None])[:, 0]
    loss_function = F.smooth_l1_loss if kind == "huber" else F.mse_loss
    return {"loss": loss_function(action_values, targets), "q": action_values.detach().mean()}
