"""Monitor of the known failures of adversarial training.

Mode collapse: all generated samples are alike. Vanishing gradients: the discriminator is always
right and the generator learns nothing. Instability: the generator's loss is far from its
equilibrium.
"""

from typing import Any

import torch
from torch import Tensor

from triform.base.logging import get_logger

logger = get_logger(__name__)

MAX_ACCURACY, MIN_DIVERSITY, MAX_LOSS = 0.98, 0.4, 4.0
PATIENCE = 300
"""Consecutive steps of a failure that give a warning."""
LOSS_MOMENTUM = 0.05
"""Weight of the newest loss in its moving average: an oscillating loss is low for single steps."""
WARNINGS = {
    "vanishing_gradients": "the discriminator has been right more than "
    f"{MAX_ACCURACY:.0%} of the time for {PATIENCE} steps: the generator learns little; lower its "
    "rate, or use spectral norm or r1",
    "mode_collapse": f"generated samples have differed less than {MIN_DIVERSITY:.0%} as much as "
    f"real ones for {PATIENCE} steps: mode collapse; use spectral norm or r1, or a lower rate",
    "instability": f"the generator's loss has been above {MAX_LOSS:.0f} for {PATIENCE} steps: "
    "training is unstable; lower lr or beta1",
}


class GanMonitor:
    """Counts consecutive steps of each failure; warns once each time one begins.

    Attributes:
        steps: Steps so far.
        mean_loss: Moving average of the generator's absolute loss.
        streaks: Consecutive steps of each failure.
    """

    def __init__(self) -> None:
        self.steps, self.mean_loss = 0, 0.0
        self.streaks = dict.fromkeys(WARNINGS, 0)

    @torch.no_grad()
    def update(
        self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor, loss: Tensor
    ) -> dict[str, Tensor]:
        """Measure one step.

        Args:
            real: Real samples (B, ...).
            fake: Generated samples (B, ...).
            real_logits: Logits (B,) of the discriminator for real samples.
            fake_logits: Logits (B,) of the discriminator for generated samples.
            loss: Loss of the generator.

        Returns:
            `discriminator_accuracy` in [0, 1]; `diversity`: standard deviation of generated
            samples over the batch, as a share of that of real samples.
        """
        accuracy = ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
        fake_std, real_std = (samples.float().std(0).mean() for samples in (fake, real))
        diversity = fake_std / real_std.clamp(min=1e-8)
        self.mean_loss += (float(loss.abs()) - self.mean_loss) * (
            LOSS_MOMENTUM if self.steps else 1.0
        )
        failures = {
            "vanishing_gradients": accuracy > MAX_ACCURACY,
            "mode_collapse": diversity < MIN_DIVERSITY,
            "instability": self.mean_loss > MAX_LOSS,
        }
        self.steps += 1
        for name, failed in failures.items():
            self.streaks[name] = self.streaks[name] + 1 if failed else 0
            if self.streaks[name] == PATIENCE:
                logger.warning("step %d: %s", self.steps, WARNINGS[name])
        return {"discriminator_accuracy": accuracy, "diversity": diversity}

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"steps": self.steps, "mean_loss": self.mean_loss, "streaks": dict(self.streaks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.steps, self.mean_loss = state["steps"], state["mean_loss"]
        self.streaks = dict(state["streaks"])
