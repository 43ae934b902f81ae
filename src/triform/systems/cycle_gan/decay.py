"""The learning rate of the paper: constant, then evenly down to zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class Decay:
    """Counts steps, and lowers the rates that the engine has set (arXiv:1703.10593, section 4).

    Args:
        total: steps of the run.
        start: share of them after which the rate falls; 1 = never.
    """

    def __init__(self, total: int, start: float):
        self.total, self.start = total, start
        self.steps = 0

    def factor(self) -> float:
        """Of the learning rate, in the step that begins."""
        left = 1 - self.steps / max(1, self.total)
        return 1.0 if self.start >= 1 else min(1.0, max(0.0, left / (1 - self.start)))

    def begin(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """A step begins: the engine has just set its rate in every group."""
        factor = self.factor()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Steps done."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; how long the run is, the settings say."""
        self.steps = int(state["steps"])
