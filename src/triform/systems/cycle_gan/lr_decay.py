"""Learning rate of the paper: constant, then linear decay to zero."""

from collections.abc import Iterable
from typing import Any

import torch


class LinearDecay:
    """Counts steps and scales the learning rates that the engine has set (arXiv:1703.10593, 4).

    Args:
        total: Steps of the run.
        start: Share of them after which the rate decays; 1 = never.
    """

    def __init__(self, total: int, start: float):
        self.total, self.start = total, start
        self.steps = 0

    def factor(self) -> float:
        """Factor of the learning rate in the step that begins."""
        remaining = 1 - self.steps / max(1, self.total)
        return 1.0 if self.start >= 1 else min(1.0, max(0.0, remaining / (1 - self.start)))

    def apply(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Scale the rates for one step; the engine has just set them in every group."""
        factor = self.factor()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Steps done."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the steps; the settings give the length of the run."""
        self.steps = int(state["steps"])
