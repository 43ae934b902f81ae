"""A multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "tanh"]


class Perceptron(nn.Module):
    """Linear layers with an activation between them.

    Args:
        num_inputs: Length of an input.
        num_outputs: Length of an output.
        hidden_size: Width of the hidden layers.
        num_layers: How many there are; 0 is linear.
        activation: Between the layers.
        last_gain: Factor of the last layer's first weights, whose bias begins at zero; None leaves
            torch's own.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        hidden_size: int,
        num_layers: int,
        activation: Activation = "relu",
        last_gain: float | None = None,
    ):
        super().__init__()
        widths = [num_inputs, *[hidden_size] * num_layers, num_outputs]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.ReLU() if activation == "relu" else nn.Tanh()]
        self.network = nn.Sequential(*layers[:-1])
        if last_gain is not None:
            last = layers[-2]
            assert isinstance(last, nn.Linear)
            with torch.no_grad():
                last.weight.mul_(last_gain)
                last.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, num_inputs) to (B, num_outputs)."""
        outputs: Tensor = self.network(inputs)
        return outputs
