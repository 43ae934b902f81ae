"""The losses of the style-based GAN: non-saturating, with a gradient penalty now and then.

The parts are shared with the other adversarial systems (`losses/gan.py`).
"""

from __future__ import annotations

from torch import Tensor

from triform.losses.gan import discriminator_loss, generator_loss, r1_penalty

LAZY = 16
"""Steps between two gradient penalties (arXiv:1912.04958, section 3.1)."""


def of_discriminator(
    real_logits: Tensor, fake_logits: Tensor, real: Tensor | None, r1: float
) -> Tensor:
    """What the discriminator minimises.

    Args:
        real_logits: (B,).
        fake_logits: (B,).
        real: (B, C, S, S) that require gradients, in the steps that pay the penalty.
        r1: weight of the penalty; it is paid every 16th step, 16 times.
    """
    loss = discriminator_loss(real_logits, fake_logits)
    return loss if real is None else loss + LAZY * r1 * r1_penalty(real_logits, real)


def of_generator(fake_logits: Tensor) -> Tensor:
    """What the generator minimises."""
    return generator_loss(fake_logits)
