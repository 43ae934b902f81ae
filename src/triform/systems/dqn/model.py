"""The Q-network: what an agent sees becomes the worth of each action."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class QNetwork(nn.Module):
    """A multi-layer perceptron with ReLU (the documented network).

    Args:
        num_inputs: Length of an observation.
        num_actions: Actions to choose from.
        hidden_size: Width of the hidden layers.
        num_layers: How many there are.
    """

    def __init__(self, num_inputs: int, num_actions: int, hidden_size: int, num_layers: int):
        super().__init__()
        widths = [num_inputs, *[hidden_size] * num_layers, num_actions]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.ReLU()]
        self.network = nn.Sequential(*layers[:-1])

    def forward(self, observations: Tensor) -> Tensor:
        """Observations (B, num_inputs) to Q-values (B, num_actions)."""
        values: Tensor = self.network(observations)
        return values
