"""Watches the known failures of adversarial training, and warns in words.

Mode collapse: everything made looks alike. Vanishing gradients: the discriminator is always right
and the generator learns nothing. Instability: losses far from where two equals would be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from triform.base.logging import get_logger

logger = get_logger(__name__)

SURE, ALIKE, WILD = 0.98, 0.4, 4.0
PATIENCE = 300
RECENT = 0.05
"""Weight of the newest loss in the average that is watched: a loss that swings dips for a step."""
"""Steps in a row that make a warning."""
WARNINGS = {
    "sure": f"the discriminator has been right more than {SURE:.0%} of the time for {PATIENCE} "
    "steps: the generator learns little; lower its rate, or use spectral norm or r1",
    "alike": f"what is made has differed less than {ALIKE:.0%} as much as real pictures for "
    f"{PATIENCE} steps: mode collapse; use spectral norm or r1, or a lower rate",
    "wild": f"the generator's loss has been above {WILD:.0f} for {PATIENCE} steps: training is "
    "unstable; lower lr or beta1",
}


class GanWatch:
    """Counts steps in a row of each failure; warns once for each time that it begins."""

    def __init__(self) -> None:
        self.steps, self.level = 0, 0.0
        self.streaks = dict.fromkeys(WARNINGS, 0)

    @torch.no_grad()
    def look(
        self, real: Tensor, made: Tensor, real_logits: Tensor, made_logits: Tensor, loss: Tensor
    ) -> dict[str, Tensor]:
        """Measures one step.

        Args:
            real: (B, ...) samples.
            made: (B, ...) samples.
            real_logits: (B,) what the discriminator says of them.
            made_logits: (B,) the same.
            loss: the generator's.

        Returns:
            `discriminator_accuracy` in [0, 1]; `diversity`: deviation over the batch of what is
            made, as a share of that of real samples.
        """
        accuracy = ((real_logits > 0).float().mean() + (made_logits < 0).float().mean()) / 2
        spread = [each.float().std(0).mean() for each in (made, real)]
        diversity = spread[0] / spread[1].clamp(min=1e-8)
        size = float(loss.abs())
        self.level += (size - self.level) * (RECENT if self.steps else 1.0)
        seen = {"sure": accuracy > SURE, "alike": diversity < ALIKE, "wild": self.level > WILD}
        self.steps += 1
        for name, bad in seen.items():
            self.streaks[name] = self.streaks[name] + 1 if bad else 0
            if self.streaks[name] == PATIENCE:
                logger.warning("step %d: %s", self.steps, WARNINGS[name])
        return {"discriminator_accuracy": accuracy, "diversity": diversity}

    def state_dict(self) -> dict[str, Any]:
        """Where the counts stand."""
        return {"steps": self.steps, "level": self.level, "streaks": dict(self.streaks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the counts back."""
        self.steps, self.streaks = state["steps"], dict(state["streaks"])
        self.level = state.get("level", 0.0)
