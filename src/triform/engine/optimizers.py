"""Optimizers as most systems use them."""

from torch.optim import AdamW
from torch.optim.optimizer import ParamsT

from triform.engine.config import TrainingConfig


def adamw(parameters: ParamsT, training: TrainingConfig, lr: float | None = None) -> AdamW:
    """AdamW (arXiv:1711.05101) with rate and weight decay of the settings, in one fused call.

    Args:
        parameters: What is trained, or groups with learning rates of their own.
        training: Settings.
        lr: Another learning rate than the settings'.
    """
    return AdamW(
        parameters,
        lr=training.lr if lr is None else lr,
        weight_decay=training.weight_decay,
        fused=True,
    )
