"""The losses of CycleGAN: fool the judges, come back, leave alone what needs no translation.

Zhu et al., arXiv:1703.10593, sections 3 and 4; squared errors in the place of logarithms as in
LSGAN, arXiv:1611.04076, section 3.2, with targets 1 for real and 0 for made.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def of_generators(
    judged: tuple[Tensor, Tensor],
    originals: tuple[Tensor, Tensor],
    returned: tuple[Tensor, Tensor],
    unchanged: tuple[Tensor, Tensor],
    *,
    lambda_cycle: float,
    lambda_identity: float,
) -> dict[str, Tensor]:
    """All of the generators' loss; each pair is kind A, kind B.

    Args:
        judged: what the discriminators say of translations, (B, 1, h, w).
        originals: pictures (B, C, H, W) in [-1, 1].
        returned: the same translated there and back.
        unchanged: the same translated into the kind that they are of already.
        lambda_cycle: weight of the cycle.
        lambda_identity: weight of the identity, times lambda_cycle.

    Returns:
        `loss`, and its parts without weights, each a sum over both kinds: `adversarial`,
        `cycle`, `identity`.
    """
    adversarial = _fooled(judged[0]) + _fooled(judged[1])
    cycle = _differences(returned, originals)
    identity = _differences(unchanged, originals)
    loss = adversarial + lambda_cycle * (cycle + lambda_identity * identity)
    return {"loss": loss, "adversarial": adversarial, "cycle": cycle, "identity": identity}


def of_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Half the squared error of one discriminator; 0.25 where it cannot tell.

    Args:
        real: what it says of pictures, (B, 1, h, w).
        made: what it says of translations.
    """
    return ((real.float() - 1).square().mean() + made.float().square().mean()) / 2


def _fooled(judged: Tensor) -> Tensor:
    return (judged.float() - 1).square().mean()


def _differences(some: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> Tensor:
    first, second = (F.l1_loss(a.float(), b) for a, b in zip(some, others, strict=True))
    return first + second
