"""Policy and value network: observations to logits of actions, or to a state value."""

from __future__ import annotations

from triform.layers.perceptron import Activation, Perceptron

LAST_GAIN = 0.01  # a new policy is close to uniform


class PolicyNetwork(Perceptron):
    """A multi-layer perceptron with one output per action, or a single one for the state value.

    Without dropout: training needs the logits by which the actions were sampled.
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
