"""Early stopping: no improvement or overfitting for several evaluations."""

import math
from typing import Any, Literal

from triform.engine.config import EarlyStoppingConfig, SchedulerConfig


class EarlyStopping:
    """Count evaluations without improvement and evaluations that overfit.

    Args:
        config: The settings.
        mode: Whether a lower or higher monitored metric is better.
    """

    def __init__(self, config: EarlyStoppingConfig, mode: Literal["min", "max"] = "min"):
        self.config, self.mode = config, mode
        self.best = math.inf
        self.num_bad = 0
        self.num_overfitting = 0

    def on_evaluation(self, value: float, gap: float | None = None) -> str:
        """Update the counters with one evaluation.

        Args:
            value: The monitored metric.
            gap: Loss on training data in evaluation mode minus that on validation data.

        Returns:
            The reason to stop, or an empty string.
        """
        if not self.config.enabled:
            return ""
        value = value if self.mode == "min" else -value
        improvement, min_delta = self.best - value, self.config.min_delta
        # 2.5 - 2.4999 is slightly more than 1e-4 in binary; it must not count as more.
        if improvement > min_delta and not math.isclose(improvement, min_delta, rel_tol=1e-9):
            self.best, self.num_bad = value, 0
        else:
            self.num_bad += 1
        if self.watches_overfitting and gap is not None:
            overfits = gap < -self.config.overfitting_gap_threshold
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
        """Restore saved counters."""
        self.best, self.num_bad = state["best"], state["num_bad"]
        self.num_overfitting = state["num_overfitting"]


def patience_warning(scheduler: SchedulerConfig, stopping: EarlyStoppingConfig) -> str:
    """A warning if the two patiences do not fit together, else an empty string.

    A schedule with the patience of early stopping never lowers the learning rate.
    """
    if scheduler.type != "ReduceLROnPlateau" or not stopping.enabled:
        return ""
    if scheduler.patience < stopping.patience:
        return ""
    return (
        f"--scheduler.patience {scheduler.patience} is not below --early_stopping.patience "
        f"{stopping.patience}: training would stop before the learning rate is ever reduced"
    )
