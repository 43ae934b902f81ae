"""When to stop before the last epoch: no improvement for long, or overfitting for long."""

import math
from typing import Any, Literal

from triform.engine.config import EarlyStoppingConfig, SchedulerConfig


class EarlyStopping:
    """Counts evaluations that bring nothing.

    Args:
        config: The settings.
        mode: Whether less or more of the monitored number is better.
    """

    def __init__(self, config: EarlyStoppingConfig, mode: Literal["min", "max"] = "min"):
        self.config, self.mode = config, mode
        self.best = math.inf
        self.num_bad = 0
        self.num_overfitting = 0

    def on_evaluation(
        self, value: float, *, train_loss: float | None = None, val_loss: float | None = None
    ) -> str:
        """Take in one evaluation.

        Args:
            value: The monitored number.
            train_loss: Loss on training data in evaluation mode, for the overfitting watch.
            val_loss: Loss on validation data.

        Returns:
            Why to stop, or an empty string.
        """
        if not self.config.enabled:
            return ""
        value = value if self.mode == "min" else -value
        gain, least = self.best - value, self.config.min_delta
        # 2.5 - 2.4999 is a little more than 1e-4 in binary; nobody would call it so.
        if gain > least and not math.isclose(gain, least, rel_tol=1e-9):
            self.best, self.num_bad = value, 0
        else:
            self.num_bad += 1
        if self.watches_overfitting and train_loss is not None and val_loss is not None:
            overfits = train_loss - val_loss < -self.config.overfitting_gap_threshold
            self.num_overfitting = self.num_overfitting + 1 if overfits else 0
        if self.num_overfitting >= self.config.overfitting_patience:
            return (
                f"overfitting: train_loss - val_loss below "
                f"-{self.config.overfitting_gap_threshold:g} "
                f"in {self.num_overfitting} evaluations in a row"
            )
        if self.num_bad >= self.config.patience:
            return (
                f"early stopping: no improvement of more than {self.config.min_delta:g} "
                f"in {self.num_bad} evaluations"
            )
        return ""

    @property
    def watches_overfitting(self) -> bool:
        """Whether the loss on training data has to be measured."""
        return self.config.enabled and self.config.track_overfitting

    def state_dict(self) -> dict[str, Any]:
        """The counters."""
        return {"best": self.best, "num_bad": self.num_bad, "num_overfitting": self.num_overfitting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved counters."""
        self.best, self.num_bad = state["best"], state["num_bad"]
        self.num_overfitting = state["num_overfitting"]


def patience_warning(scheduler: SchedulerConfig, stopping: EarlyStoppingConfig) -> str:
    """What is wrong with the two patiences together, or an empty string.

    A schedule that waits as long as early stopping never gets to lower the learning rate.
    """
    if scheduler.type != "ReduceLROnPlateau" or not stopping.enabled:
        return ""
    if scheduler.patience < stopping.patience:
        return ""
    return (
        f"--scheduler.patience {scheduler.patience} is not below --early_stopping.patience "
        f"{stopping.patience}: training would stop before the learning rate is ever reduced"
    )
