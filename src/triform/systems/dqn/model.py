"""The Q-network: observations to action values."""

from __future__ import annotations

from triform.layers.perceptron import Perceptron


class QNetwork(Perceptron):
    """A multi-layer perceptron with ReLU (the documented network), one output per action."""
