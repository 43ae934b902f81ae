"""The interface between the engine and a system.

The engine runs the loop; the system gives batches and computes losses, which it passes to
`update`. That is enough for one optimizer or several, for gradients that the system computes
itself, and for batches that are collected by acting.

    losses = compute(self.networks["model"](batch["inputs"]), batch)     # supervised
    update(losses["loss"])

    update(first_loss, "first")                                          # two optimizers
    update(second_loss, "second")

    update.apply_gradients(torch.autograd.grad(loss, parameters))        # inner loop
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.seeding import seed_everything
from triform.engine.checkpoints.checkpoint import Weights
from triform.engine.checkpoints.initial_weights import FLAG, find_initial_weights, load_networks
from triform.engine.checkpoints.trained import read_trained
from triform.engine.config import SystemConfig
from triform.engine.device import pick_device
from triform.engine.epoch_loader import EpochLoader
from triform.engine.update import Update

ConfigT = TypeVar("ConfigT", bound=SystemConfig)
Batch = Any
Scalars = Mapping[str, float | Tensor]


class Stateful(Protocol):
    """An object whose state is saved with the run: tensors and plain data."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Restore a state."""


@dataclass(frozen=True)
class Context:
    """Progress of a run, for hooks.

    Attributes:
        system: The system; its networks are in evaluation mode and hold the averaged weights
            where `ema_decay` is set.
        run_dir: The run directory.
        checkpoint_dir: Folder of the checkpoints.
        step: Steps done.
        epoch: Epochs done.
        metrics: Last value of every metric.
        is_best: Whether the last evaluation was the best one so far.
        reason: Reason of the end; empty during training.
    """

    system: "System[Any]"
    run_dir: Path
    checkpoint_dir: Path
    step: int
    epoch: int
    metrics: Mapping[str, float]
    is_best: bool
    reason: str = ""


class Hook:
    """Callback at the end of epochs and of training, on the main process only."""

    def on_epoch_end(self, context: Context) -> None:
        """Called after an epoch, its evaluation and its checkpoint."""

    def on_end(self, context: Context) -> None:
        """Called after the last epoch, with the reason of the end."""


class System(ABC, Generic[ConfigT]):
    """A trainable system: networks, optimizers, batches, training step, evaluation.

    Random numbers are seeded before a subclass builds its networks.

    Attributes:
        name: Name on the command line and of the folder of its runs.
        monitor: The metric of `evaluate` that selects the best weights. Where training has stages
            it may change from one to the next: the best weights are then those of the last stage.
        monitor_mode: Whether lower or higher is better.
        shipped: Name of its weights that ship; empty = its own.
        variable_metadata: Names of metadata that may differ where a run is resumed.
        shared_metadata: Names of metadata that initial weights must have in common with the run:
            what rows of their tensors stand for.
        optional_networks: Networks that begin anew where initial weights have none of them, or of
            another shape.
        networks: Trained networks: moved to the device, saved, averaged. `step` must call them
            (`self.networks["model"](x)`), because distributed training synchronises there.
        frozen: Networks that are neither trained nor saved; always in evaluation mode.
        pretrained: Beginnings of names of tensors (`NETWORK.NAME`) that were pretrained elsewhere:
            a checkpoint in which they were frozen does not hold them.
        optimizers: By name. The learning rate that a parameter group has when training starts
            is its base; schedule and warm-up scale it.
        loader: Training batches, saved with the run; None if `batches` makes its own.
        stateful: Other objects whose state is saved, by name: buffers, counters.
        loss_values: Values that `loss` sums over; gaps of early stopping are per value.
        num_steps: Steps done; the engine counts.
        hooks: Called at the end of epochs and of training.
    """

    name: ClassVar[str]
    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"
    shipped: ClassVar[str] = ""
    variable_metadata: ClassVar[Sequence[str]] = ()
    shared_metadata: ClassVar[Sequence[str]] = ()
    optional_networks: Collection[str] = ()

    def __init__(self, config: ConfigT):
        self.config = config
        # Wrong names are refused before data is read.
        pick_device(config.device)
        if self.begins_with_weights:
            self.find_initial_weights()
        seed_everything(config.seed)  # initial weights
        self.loader: EpochLoader | None = None
        self.loss_values = 1
        self.num_steps = 0
        self.networks: dict[str, nn.Module] = {}
        self.frozen: dict[str, nn.Module] = {}
        self.pretrained: Sequence[str] = ()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.stateful: dict[str, Stateful] = {}
        self.hooks: Sequence[Hook] = ()

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        for network in self.networks.values():
            for parameter in network.parameters():
                return parameter.device
        return torch.device("cpu")

    @property
    def num_batches(self) -> int | None:
        """Batches in one epoch; None if unknown."""
        return None if self.loader is None else len(self.loader)

    def batches(self) -> Iterator[Batch]:
        """Iterate over the rest of the current epoch, from the position of the loader.

        The engine moves tensors in dicts, lists and tuples to the device.
        """
        if self.loader is None:
            raise NotImplementedError(f"{self.name} has neither a loader nor batches of its own")
        return iter(self.loader)

    @property
    def why_not_sharded(self) -> str:
        """Why processes cannot share its parameters (FSDP2); empty where they can.

        They cannot where `step` uses parameters outside of the forward pass of a network, computes
        their gradients itself, or gradients of gradients.
        """
        return ""

    def metadata(self) -> dict[str, Any]:
        """Metadata that building the trained networks needs besides weights and config.

        Returns:
            Plain data (strings, numbers, lists, dicts), such as class names or a vocabulary.
            A resumed run must have the same, but for names in `variable_metadata`.
        """
        return {}

    @property
    def begins_with_weights(self) -> bool:
        """Whether this is a new run that begins with weights of another one."""
        training = self.config.training
        return bool(training.initial_weights) and training.resume_from is None

    def find_initial_weights(self) -> Path:
        """Find the file that `initial_weights` names.

        Raises:
            UserError: It is not there.
        """
        source = self.config.training.initial_weights
        return find_initial_weights(source, self.name, self.shipped)

    def load_initial_weights(self) -> None:
        """Load the weights that `initial_weights` names; called before a new run begins.

        Raises:
            UserError: They do not fit the networks or the data.
        """
        path = self.find_initial_weights()
        weights, _ = read_trained(path, self.name, type(self.config))
        load_networks(
            self.networks,
            self.adapt_weights(weights, path),
            path,
            self.config,
            pretrained=self.pretrained,
            optional=self.optional_networks,
        )

    def adapt_weights(self, weights: Weights, path: Path) -> Weights:
        """Adapt initial weights to the data of this run; by default they have to be for them.

        Raises:
            UserError: They are not.
        """
        metadata = self.metadata()
        for name in self.shared_metadata:
            if weights.metadata.get(name) != metadata.get(name):
                raise UserError(f"{FLAG} {path}: its {name} are not those of this data")
        return weights

    def stateful_parts(self) -> dict[str, Stateful]:
        """Objects whose state is saved besides networks and optimizers: `stateful` and loader."""
        return self.stateful if self.loader is None else {"loader": self.loader, **self.stateful}

    @abstractmethod
    def step(self, batch: Batch, update: Update) -> Scalars:
        """Train on one batch; networks are in training mode, under autocast.

        Returns:
            Values to log, by name without prefix: `{"loss": ...}`.
        """

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Evaluate on a split; networks are in evaluation mode, without gradients.

        The random state is seeded before and restored afterwards.

        Args:
            split: `"val"`, `"test"`, or `"train"` to detect overfitting.

        Returns:
            Metrics by name; the engine puts `val/` in front of names without a slash. Empty if
            there is nothing to evaluate.
        """
        return {}

    def sample(self, folder: Path, step: int) -> None:
        """Write samples into a folder, named after the step; nothing by default."""
