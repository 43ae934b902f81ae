"""Mean squared error of the predicted noise, image or velocity.

The simple loss of arXiv:2006.11239, section 3.4: a mean over pixels and images with equal weight
of all steps. The kind of prediction decides which noise levels dominate.
"""

from torch import Tensor
from torch.nn import functional as F


def diffusion_loss(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """All of the loss.

    Args:
        prediction: Output (B, C, H, W) of the network.
        target: (B, C, H, W).

    Returns:
        `loss`.
    """
    return {"loss": F.mse_loss(prediction.float(), target.float())}
