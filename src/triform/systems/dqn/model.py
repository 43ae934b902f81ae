"""The Q-network: what an agent sees becomes the worth of each action."""

from __future__ import annotations

from triform.layers.perceptron import Perceptron


class QNetwork(Perceptron):
    """A multi-layer perceptron with ReLU (the documented network), one output per action."""
