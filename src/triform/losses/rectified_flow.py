"""Loss of a rectified flow (arXiv:2209.03003)."""

import torch.nn.functional as F
from torch import Tensor


def flow_loss(velocity: Tensor, data: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of velocities (B, ...) to `data - noise` (equation 1)."""
    return F.mse_loss(velocity.float(), (data - noise).float())
