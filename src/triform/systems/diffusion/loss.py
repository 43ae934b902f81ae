"""The loss of diffusion: how far the network is from what it should say, squared.

The simple loss of arXiv:2006.11239, section 3.4: a mean over pixels and pictures, every amount of
noise alike. What should be said (noise, picture or velocity) decides which amounts weigh most.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def diffusion_loss(said: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        said: (B, C, H, W) by the network.
        wanted: (B, C, H, W).

    Returns:
        `loss`.
    """
    return {"loss": F.mse_loss(said.float(), wanted.float())}
