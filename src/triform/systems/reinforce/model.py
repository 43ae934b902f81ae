"""The networks: what an agent sees becomes logits of its actions, or the worth of the state."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

LAST_GAIN = 0.01  # a new policy prefers nothing


class Perceptron(nn.Module):
    """A multi-layer perceptron. No dropout: the policy that learns must be the one that acted.

    Args:
        num_inputs: Length of an observation.
        num_outputs: Actions to choose from, or 1 for the worth of a state.
        hidden_size: Width of the hidden layers.
        num_layers: How many there are.
        activation: Between the layers.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        hidden_size: int,
        num_layers: int,
        activation: Literal["relu", "tanh"],
    ):
        super().__init__()
        widths = [num_inputs, *[hidden_size] * num_layers, num_outputs]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.ReLU() if activation == "relu" else nn.Tanh()]
        self.network = nn.Sequential(*layers[:-1])
        with torch.no_grad():
            last = layers[-2]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(LAST_GAIN)
            last.bias.zero_()

    def forward(self, observations: Tensor) -> Tensor:
        """Observations (T, num_inputs) to (T, num_outputs)."""
        outputs: Tensor = self.network(observations)
        return outputs
