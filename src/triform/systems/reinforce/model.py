"""The networks: what an agent sees becomes logits of its actions, or the worth of the state."""

from __future__ import annotations

from triform.layers.perceptron import Activation, Perceptron

LAST_GAIN = 0.01  # a new policy prefers nothing


class PolicyNetwork(Perceptron):
    """A multi-layer perceptron; one output per action, or a single one for the worth of a state.

    No dropout: the policy that learns must be the one that acted.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        hidden_size: int,
        num_layers: int,
        activation: Activation,
    ):
        super().__init__(
            num_inputs, num_outputs, hidden_size, num_layers, activation, last_gain=LAST_GAIN
        )
