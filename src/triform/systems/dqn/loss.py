"""The whole loss of the Q-learner: targets, errors, reduction."""

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
    """What the Q-value of a transition should be (arXiv:1312.5602 equation 3).

    With `online_values` the action is chosen by the learning network and rated by the target
    network (double Q-learning, arXiv:1509.06461 equation 4): the maximum of noisy values is too
    high on average.

    Args:
        rewards: (B,).
        bootstrap: (B,), 0 where the episode terminated, else 1 (less, where `rewards` are of
            several steps): also where a time limit cut it.
        target_values: Q-values of the target network for what followed (B, A).
        online_values: Those of the learning network, or None.
        gamma: Worth of a reward one step later.
    """
    target_values = target_values.float()
    if online_values is None:
        best = target_values.amax(1)
    else:
        best = target_values.gather(1, online_values.argmax(1, keepdim=True))[:, 0]
    return rewards + gamma * bootstrap * best


def td_loss(
    values: Tensor, actions: Tensor, targets: Tensor, kind: Literal["huber", "mse"]
) -> dict[str, Tensor]:
    """Mean error of the actions that were taken.

    Huber's loss is quadratic up to an error of 1 and linear beyond, so that one surprise does
    not throw all other values (Nature 518, 529: "clipping the error term").

    Args:
        values: Q-values (B, A) with a graph.
        actions: Taken (B,).
        targets: (B,) without a graph.
        kind: How an error is counted.

    Returns:
        Scalars: `loss`, and `q`, the mean value of the actions taken.
    """
    taken = values.float().gather(1, actions[:, None])[:, 0]
    loss = F.smooth_l1_loss(taken, targets) if kind == "huber" else F.mse_loss(taken, targets)
    return {"loss": loss, "q": taken.detach().mean()}
