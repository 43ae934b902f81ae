"""Memory that a training needs, counted from its networks before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from triform.systems.shap_e.config import Config

BYTES = 4
ADAM_BYTES = 8
ACTIVATIONS_PER_CHANNEL = 16
"""Numbers that the backward pass of a block needs, per token and channel: two norms with their
inputs (4), queries, keys and values (3), attention (1), and the MLP's hidden layer twice (8)."""
CHECKPOINTED_PER_CHANNEL = 1
GIB = 2**30


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a training, and numbers of its parameters.

    Attributes:
        parameters: All parameters.
        trained: Those that training changes.
        weights: Bytes of all weights, and of their averages where there are some.
        optimizer: Bytes of gradients and of Adam's moments.
        activations: Bytes of the prior's activations at this batch.
    """

    parameters: int
    trained: int
    weights: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.optimizer + self.activations

    def describe(self) -> str:
        """One line."""
        parts = (
            f"weights {self.weights / GIB:.1f}, gradients and moments {self.optimizer / GIB:.1f}, "
            f"activations {self.activations / GIB:.1f}"
        )
        return (
            f"{self.parameters / 1e6:,.1f} M parameters, {self.trained / 1e6:,.1f} M trained; "
            f"memory about {self.total / GIB:.1f} GiB: {parts}"
        )


def estimate_memory(
    config: Config, networks: Iterable[nn.Module], condition_vectors: int, processes: int = 1
) -> MemoryEstimate:
    """Estimate the memory of a training, in each process.

    Args:
        config: Settings.
        networks: The networks, on any device.
        condition_vectors: Vectors of a condition: 1 of a caption, 256 of an image.
        processes: Number of processes, which share parameters and moments with `fsdp`.
    """
    sizes = [
        (parameter.numel(), parameter.requires_grad)
        for network in networks
        for parameter in network.parameters()
    ]
    parameters = sum(size for size, _ in sizes)
    trained = sum(size for size, is_trained in sizes if is_trained)
    shares = processes if config.training.fsdp else 1
    copies = 2 if config.training.ema_decay else 1
    tokens = config.transmitter.latent_vectors + condition_vectors + 1
    samples = config.training.micro_batch_size or config.data.batch_size
    samples = min(samples, config.data.batch_size)
    if config.training.gradient_checkpointing:
        blocks = CHECKPOINTED_PER_CHANNEL * config.model.prior_layers + ACTIVATIONS_PER_CHANNEL
    else:
        blocks = ACTIVATIONS_PER_CHANNEL * config.model.prior_layers
    return MemoryEstimate(
        parameters,
        trained,
        BYTES * copies * parameters // shares,
        (BYTES + ADAM_BYTES) * trained // shares,
        BYTES * samples * tokens * config.model.prior_width * blocks,
    )
