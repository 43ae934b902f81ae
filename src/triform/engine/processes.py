"""Distributed training with one process or several.

`torchrun` and `accelerate launch` start the processes and set their ranks in the environment;
accelerate wraps the networks so that gradients are averaged. A single process needs neither.
Where parameters are sharded (FSDP2), `sharding.py` does it instead.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.sharding import shard_networks
from triform.engine.synchronized_batch_norm import synchronize_batch_norm

logger = get_logger(__name__)


def process_index() -> int:
    """Rank of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Trainable(Protocol):
    """What has to be known of a system."""

    name: ClassVar[str]
    optimizers: dict[str, torch.optim.Optimizer]

    @property
    def why_not_sharded(self) -> str:
        """Why its parameters cannot be sharded; empty where they can."""


class Processes:
    """The processes that train together, from the view of one of them.

    Attributes:
        index: Rank of this process.
        count: Number of processes.
        is_main: Whether this one writes files and logs.
        device: Device of this process.
        shards: Whether they share parameters, gradients and optimizer states (FSDP2).
    """

    def __init__(self, device: torch.device, *, fsdp: bool = False):
        self.index, self.count = process_index(), process_count()
        self.is_main = self.index == 0
        self.device = device
        self.shards = self.count > 1 and (fsdp or _launched_for_fsdp())
        if fsdp and not self.shards:
            logger.info("fsdp: one process alone shares nothing; torchrun starts several")
        self._accelerator: Any = None
        if self.count > 1:
            self._accelerator = _connect(device)
            self.device = self._accelerator.device

    def prepare(
        self,
        networks: dict[str, nn.Module],
        system: Trainable,
    ) -> dict[str, nn.Module]:
        """Wrap or shard trained networks, with batch norms over all processes.

        Args:
            networks: By name.
            system: Their system.

        Raises:
            UserError: They cannot be sharded.
        """
        if self._accelerator is None:
            return networks
        for network in networks.values():
            synchronize_batch_norm(network)
        if self.shards:
            if reason := system.why_not_sharded:
                raise UserError(f"--fsdp: {system.name}: {reason}; train without it")
            shard_networks(networks, system.optimizers, self.device, self.count)
            return networks
        trained = {
            name: any(p.requires_grad for p in network.parameters())
            for name, network in networks.items()
        }
        with warnings.catch_warnings():
            # New torch has another name for `broadcast_buffers`, old torch has only this one.
            warnings.simplefilter("ignore", FutureWarning)
            return {
                name: self._accelerator.prepare(network) if trained[name] else network
                for name, network in networks.items()
            }

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in place."""
        if self.count > 1 and tensors:
            # One message instead of one per tensor.
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            torch.distributed.all_reduce(flat)
            parts = torch.split(flat / self.count, [tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def average_scalars(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """Average numbers by name over all processes."""
        if self.count == 1:
            return dict(scalars)
        gathered = self.gather(dict(scalars))
        return {name: sum(each[name] for each in gathered) / self.count for name in scalars}

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any process, so that all decide alike."""
        if self.count == 1:
            return flags
        votes = torch.tensor(flags, dtype=torch.int32, device=self.device)
        torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX)
        return tuple(bool(vote) for vote in votes.tolist())

    def gather(self, value: Any) -> list[Any]:
        """Gather the value of every process, in order."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def replaced_networks(
    system_networks: dict[str, nn.Module], networks: Mapping[str, nn.Module]
) -> Iterator[None]:
    """Replace a system's networks for a block of code."""
    before = dict(system_networks)
    system_networks.update(networks)
    try:
        yield
    finally:
        system_networks.update(before)


def _launched_for_fsdp() -> bool:
    """Whether `accelerate launch --use_fsdp` started this process.

    Raises:
        UserError: For the first version of FSDP, which replaces parameters by flat ones.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise UserError(f"accelerate launch --use_fsdp: fsdp_version is {version}, Triform needs 2")
    return True


def _connect(device: torch.device) -> Any:
    """Connect to the other processes."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, DistributedType

    # Precision is the engine's business (torch.autocast around the step), hence "no". Buffers
    # sent before each forward pass would change under a backward pass that still needs them
    # when a network is called twice; `average_statistics` evens them out instead.
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no",
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    supported = (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU, DistributedType.FSDP)
    if accelerator.distributed_type not in supported:
        raise UserError(
            f"several processes of the kind {accelerator.distributed_type.value} are "
            "not supported: launch with torchrun or `accelerate launch --multi_gpu`"
        )
    return accelerator
