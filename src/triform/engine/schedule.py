"""Learning-rate schedules as functions of the step; only the plateau schedule has state."""

import math
from typing import Any, Literal

from typing_extensions import assert_never

from triform.engine.config import SchedulerConfig


class Schedule:
    """Learning-rate schedule of all optimizers of a run.

    Args:
        config: The settings.
        warmup_steps: Steps in which the rate rises from 0.
        total_steps: Steps of the whole run, for the cosine; 0 if unknown, then
            `epochs` counts.
        epochs: Epochs of the whole run.
        mode: Whether a lower or higher monitored metric is better.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        warmup_steps: int = 0,
        total_steps: int = 0,
        epochs: int = 0,
        mode: Literal["min", "max"] = "min",
    ):
        self.config, self.warmup_steps = config, warmup_steps
        self.total_steps, self.epochs, self.mode = total_steps, epochs, mode
        self.num_reductions = 0
        self.num_bad = 0
        self.best = math.inf

    def rate(self, base: float, step: int, epoch: int) -> float:
        """The learning rate of a parameter group.

        Args:
            base: Its learning rate without schedule.
            step: Steps done.
            epoch: Epochs done.
        """
        lowest = min(self.config.min_lr, base)
        match self.config.type:
            case "none":
                rate = base
            case "ReduceLROnPlateau":
                rate = base * self.config.factor**self.num_reductions
            case "StepLR":
                rate = base * self.config.factor ** (epoch // self.config.step_size)
            case "CosineAnnealingLR":
                done, total = (step, self.total_steps) if self.total_steps else (epoch, self.epochs)
                progress = min(1.0, done / max(1, total))
                rate = lowest + (base - lowest) * (1 + math.cos(math.pi * progress)) / 2
            case other:
                assert_never(other)
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return max(lowest, rate) * warmup

    def on_evaluation(self, value: float) -> bool:
        """Update the plateau schedule with a new value of the monitored metric.

        Returns:
            Whether the learning rate was reduced.
        """
        if self.config.type != "ReduceLROnPlateau":
            return False
        value = value if self.mode == "min" else -value
        if value < self.best:
            self.best, self.num_bad = value, 0
            return False
        self.num_bad += 1
        if self.num_bad <= self.config.patience:
            return False
        self.num_reductions, self.num_bad = self.num_reductions + 1, 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """State of the plateau schedule."""
        return {"num_reductions": self.num_reductions, "num_bad": self.num_bad, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.num_reductions, self.num_bad = state["num_reductions"], state["num_bad"]
        self.best = state["best"]
