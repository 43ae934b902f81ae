"""Exponential moving average (EMA) of the weights, often better than the weights themselves.

The decay grows from 0.1 in the first steps, so that the random initial weights are forgotten
quickly.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from triform.engine.sharding import shard_like

WARMUP = 10
RUNNING = ("running_mean", "running_var")
"""Statistics of batch norm, averaged too: the newest ones belong to the newest weights and fit the
averaged weights only by chance."""


class ExponentialMovingAverage:
    """EMA of the weights and batch-norm statistics of several networks, in float32.

    Args:
        networks: The networks; their current weights are the initial averages.
        decay: Decay in [0, 1); 0 switches the EMA off.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float):
        self.networks, self.decay = networks, decay
        self.averages: dict[str, dict[str, Tensor]] = {}
        if decay:
            self.averages = {name: _copy(network) for name, network in networks.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the averages after a step (counted from 1).

        Other buffers are copied as they are.
        """
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (WARMUP + step))
        for name, network in self.networks.items():
            averages = self.averages[name]
            trained = dict(network.named_parameters())
            for key, value in network.state_dict(keep_vars=True).items():
                is_averaged = key in trained or key.endswith(RUNNING)
                if is_averaged and value.is_floating_point():
                    averages[key].lerp_(value.detach().to(averages[key].dtype), 1 - decay)
                else:
                    averages[key].copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put the averages into the networks for a block of code."""
        if not self.decay:
            yield
            return
        weights = {name: _copy(network) for name, network in self.networks.items()}
        try:
            self._load(self.averages)
            yield
        finally:
            self._load(weights)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Network -> name -> average; empty where the average is off."""
        return self.averages

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore saved averages; without them start from the current weights."""
        for name, averages in self.averages.items():
            source = state.get(name) or self.networks[name].state_dict()
            for key, value in source.items():
                averages[key].copy_(shard_like(averages[key], value))

    def _load(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(tensors[name])


def _copy(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's weights and buffers; low precision becomes float32."""
    return {
        key: value.detach().clone().float()
        if value.is_floating_point() and value.dtype.itemsize < 4
        else value.detach().clone()
        for key, value in network.state_dict().items()
    }
