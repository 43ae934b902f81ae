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
        num_layers: Number of hidden layers; 0 is linear.
        activation: Activation function.
        last_gain: Factor of the initial weights of the last layer, whose bias is then zero; None
            leaves torch's own initialization.
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
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU() if activation == "relu" else nn.Tanh()]
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
