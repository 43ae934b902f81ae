"""The network that is adapted to a task, and learning it within a task.

Finn, Abbeel and Levine, arXiv:1703.03400, algorithm 2. Norms look at one picture alone (groups of
channels): statistics of a batch would let the queries of a task help each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional as F

from triform.layers.conv_embedding import ConvEmbedding
from triform.systems.maml.config import ModelConfig

Weights = dict[str, Tensor]
HEAD = "head."


class Classifier(nn.Module):
    """Blocks of convolutions and a last layer with one output per class of a task."""

    def __init__(self, model: ModelConfig, channels: int, size: int, n_way: int):
        super().__init__()
        self.embedding = ConvEmbedding(
            channels, size, model.hidden_channels, model.num_blocks, norm="group"
        )
        self.head = nn.Linear(self.embedding.out_features, n_way)
        # No class may be preferred before anything was learned: numbers of classes are arbitrary.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to logits (B, n_way)."""
        return self.head(self.embedding(pictures))


class InnerRates(nn.Module):
    """A learning rate for every step and tensor; positive, for what is learned is its logarithm.

    Antoniou et al., arXiv:1810.09502, section 4 ("MAML++").
    """

    def __init__(self, names: list[str], steps: int, lr: float):
        super().__init__()
        self.names = names
        first = torch.full((steps, len(names)), lr).log()
        self.log_rates = nn.Parameter(first)

    def rates(self) -> list[Weights]:
        """For each step the rate of each tensor."""
        return [dict(zip(self.names, row.exp(), strict=True)) for row in self.log_rates]


def learned_within(network: nn.Module, *, anil: bool) -> list[str]:
    """Names of the tensors that learn within a task: all, or the last layer's."""
    names = [name for name, _ in network.named_parameters()]
    return [name for name in names if name.startswith(HEAD)] if anil else names


def adapt(
    network: nn.Module,
    weights: Weights,
    support: Tensor,
    labels: Tensor,
    rates: list[Weights],
    *,
    first_order: bool = False,
) -> Weights:
    """Learn one task by plain gradient descent, and keep the graph of doing so.

    Args:
        network: whose weights are replaced by `weights`; its own are not touched.
        weights: where learning begins.
        support: (S, C, H, W).
        labels: (S,) int64.
        rates: one entry per step, the learning rate of each tensor that learns.
        first_order: treat the gradients as constants.

    Returns:
        The weights after the last step.
    """
    for step in rates:
        fixed = {name: tensor for name, tensor in weights.items() if name not in step}
        learning = {name: weights[name] for name in step}

        def loss(own: Weights, fixed: Weights = fixed) -> Tensor:
            return F.cross_entropy(functional_call(network, {**fixed, **own}, (support,)), labels)

        slopes = grad(loss)(learning)
        if first_order:
            slopes = {name: slope.detach() for name, slope in slopes.items()}
        weights = {**fixed, **{n: learning[n] - step[n] * slopes[n] for n in step}}
    return weights
