"""What the engine asks of a system, and what a system gets from the engine.

The loop owns *when* and *how safely*, the system owns *what*: it pulls its own batches and
pushes its losses through `update`. That is enough for one optimizer or several, for gradients
that the system computes itself, and for batches that are collected by acting.

    losses = compute(self.networks["model"](batch["inputs"]), batch)     # supervised
    update(losses["loss"])

    update(first_loss, "first")                                          # two optimizers
    update(second_loss, "second")

    update.apply_gradients(torch.autograd.grad(loss, parameters))        # inner loop
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from triform.engine.config import SystemConfig

if TYPE_CHECKING:
    from triform.engine.update import Update

Batch = Any
Scalars = Mapping[str, float | Tensor]


class Stateful(Protocol):
    """Something that a run must put back to go on where it stopped: tensors and plain data."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Put a state back."""


@dataclass(frozen=True)
class Context:
    """Where a run stands, for hooks.

    Attributes:
        system: The system; its networks are in evaluation mode and hold the averaged weights
            where `ema_decay` is set.
        run_dir: The run directory.
        checkpoint_dir: Where the checkpoints are.
        step: Steps done.
        epoch: Epochs done.
        metrics: Newest value of every number logged.
        is_best: Whether the last evaluation was the best one so far.
        reason: Why training ended; empty while it goes on.
    """

    system: "System"
    run_dir: Path
    checkpoint_dir: Path
    step: int
    epoch: int
    metrics: Mapping[str, float]
    is_best: bool
    reason: str = ""


class Hook:
    """Something small that happens beside training; called on the main process only."""

    def on_epoch_end(self, context: Context) -> None:
        """After an epoch, its evaluation and its checkpoint."""

    def on_end(self, context: Context) -> None:
        """After the last epoch, with the reason for the end."""


class System(ABC):
    """A trainable thing: networks, optimizers, batches, a step, an evaluation.

    Attributes:
        name: Name on the command line and of the folder of its runs.
        monitor: The number of `evaluate` that decides which weights are best.
        monitor_mode: Whether less or more of it is better.
        networks: What is trained: moved to the device, saved, averaged. In `step` they must be
            called (`self.networks["model"](x)`), because several processes meet there.
        frozen: What is used but never trained nor saved; always in evaluation mode.
        optimizers: By name. The learning rate that a parameter group has when training starts
            is its base; schedule and warm-up scale it.
        stateful: Whatever else a run needs to go on where it stopped, by name: samplers, buffers.
        hooks: Called at the end of epochs and of training.
    """

    name: ClassVar[str]
    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(self, config: SystemConfig):
        self.config = config
        self.networks: dict[str, nn.Module] = {}
        self.frozen: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.stateful: dict[str, Stateful] = {}
        self.hooks: Sequence[Hook] = ()

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        for network in self.networks.values():
            for parameter in network.parameters():
                return parameter.device
        return torch.device("cpu")

    @property
    def num_batches(self) -> int | None:
        """Batches in one epoch; None where nobody can say."""
        return None

    @abstractmethod
    def batches(self) -> Iterator[Batch]:
        """The rest of the present epoch, from the position of the (stateful) sampler.

        The engine moves tensors in dicts, lists and tuples to the device.
        """

    @abstractmethod
    def step(self, batch: Batch, update: "Update") -> Scalars:
        """Learn from one batch; networks are in training mode, under autocast.

        Returns:
            Numbers to log, by name without prefix: `{"loss": ...}`.
        """

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Measure on a split; networks are in evaluation mode, without gradients.

        Random numbers are seeded anew before, and training does not notice what was drawn.

        Args:
            split: `"val"`, `"test"`, or `"train"` for the overfitting watch.

        Returns:
            Numbers by name; the engine puts `val/` in front where there is no slash yet. Empty
            where there is nothing to measure.
        """
        return {}

    def sample(self, folder: Path, step: int) -> None:  # noqa: B027 - may stay empty
        """Write a few results into a folder, named after the step; nothing by default."""
