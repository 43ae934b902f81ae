"""Adversarial, cycle-consistency and identity losses of CycleGAN.

Zhu et al., arXiv:1703.10593, sections 3 and 4; squared errors in place of logarithms as in LSGAN,
arXiv:1611.04076, section 3.2, with targets 1 for real and 0 for generated images.
"""

from torch import Tensor
from torch.nn import functional as F


def generator_loss(
    fake_logits: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor],
    reconstructed: tuple[Tensor, Tensor],
    identity: tuple[Tensor, Tensor],
    *,
    lambda_cycle: float,
    lambda_identity: float,
) -> dict[str, Tensor]:
    """All of the generators' loss; each pair is domain A, domain B.

    Args:
        fake_logits: Outputs (B, 1, h, w) of the discriminators for translations.
        images: Images (B, C, H, W) in [-1, 1].
        reconstructed: The images translated to the other domain and back.
        identity: The images translated into their own domain.
        lambda_cycle: Weight of the cycle-consistency loss.
        lambda_identity: Weight of the identity loss, times lambda_cycle.

    Returns:
        `loss`, and its unweighted parts, each a sum over both domains: `adversarial`, `cycle`,
        `identity`.
    """
    adversarial = _real_loss(fake_logits[0]) + _real_loss(fake_logits[1])
    cycle = _l1_sum(reconstructed, images)
    identity_loss = _l1_sum(identity, images)
    loss = adversarial + lambda_cycle * (cycle + lambda_identity * identity_loss)
    return {"loss": loss, "adversarial": adversarial, "cycle": cycle, "identity": identity_loss}


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the squared error of one discriminator; 0.25 if it cannot tell.

    Args:
        real_logits: Outputs (B, 1, h, w) for real images.
        fake_logits: Outputs (B, 1, h, w) for translations.
    """
    return (_real_loss(real_logits) + fake_logits.float().square().mean()) / 2


def _real_loss(logits: Tensor) -> Tensor:
    """Squared error of outputs that should be 1."""
    return (logits.float() - 1).square().mean()


def _l1_sum(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    loss_a, loss_b = (F.l1_loss(x.float(), y) for x, y in zip(outputs, targets, strict=True))
    return loss_a + loss_b
