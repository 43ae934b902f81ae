"""Networks whose parameters, gradients and optimizer states are shared among processes (FSDP2).

Each process holds a slice of every parameter as a `DTensor`; a block of layers is gathered while it
computes and freed afterwards (arXiv:2304.11277). Checkpoints hold whole tensors, so that they are
the same for any number of processes.
"""

import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.malloc import return_freed_memory

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

MIN_PARAMETERS = 100_000
"""Numbers in a block that is gathered on its own; smaller ones cost more messages than memory."""
LARGE_SLICE = 2**18
"""Bytes of a slice after which freed memory is returned; it is not worth the time for less."""
OUTSIDE = "uses parameters outside of the forward pass of its networks"
REFUSALS = {
    "got mixed torch.Tensor and DTensor": OUTSIDE,
    "are out of bounds for storage of size 0": "computes gradients of gradients",
    "appears to not have been used in the graph": OUTSIDE,
    "is a view and is being modified inplace": "changes the output of a layer in place",
}
"""What torch says of systems that cannot be sharded, and what it means."""


def shard_networks(
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    device: torch.device,
    count: int,
) -> None:
    """Shard networks that train, in place, and let their optimizers train the slices.

    Args:
        networks: By name; those without trained parameters are left whole.
        optimizers: By name, before their first step.
        device: Device of the networks.
        count: Number of processes.

    Raises:
        UserError: An optimizer trains a tensor of no network, or two networks share one.
    """
    from torch.distributed.device_mesh import init_device_mesh

    # It warns of outputs that are views; `_forbid_in_place` does more.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    release_memory(device)
    device_mesh = init_device_mesh(device.type, (count,))
    owners: dict[int, tuple[str, str]] = {}
    for name, network in networks.items():
        for key, parameter in network.named_parameters():
            first, _ = owners.setdefault(id(parameter), (name, key))
            if first != name:
                raise UserError(
                    f"--fsdp: the networks {first} and {name} share {key}; train without --fsdp, "
                    "which keeps a copy in each process"
                )
    for name, optimizer in optimizers.items():
        for trained in _parameters(optimizer):
            if id(trained) not in owners:
                raise UserError(
                    f"--fsdp: the optimizer {name} trains a tensor {tuple(trained.shape)} that "
                    "belongs to no network; train without --fsdp"
                )
    # Parameters of a network are replaced; those of networks that stay whole remain.
    for network in networks.values():
        if any(parameter.requires_grad for parameter in network.parameters()):
            _shard(network, device_mesh)
    sharded = {name: dict(network.named_parameters()) for name, network in networks.items()}
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["params"] = [
                sharded[name][key]
                for name, key in (owners[id(parameter)] for parameter in group["params"])
            ]
    release_memory(device)  # that of the whole parameters


def release_memory(device: torch.device) -> None:
    """Return freed memory of the processor to the system.

    Whole parameters, gathered blocks and gradients come and go. What was once part of glibc's heap
    is used for them again, and stays with the process when they are freed: half a number a
    parameter, unless it is returned each time.
    """
    if device.type == "cpu":
        return_freed_memory()


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _shard(network: nn.Module, device_mesh: Any) -> None:
    """Shard a network: blocks of layers in lists and sequences on their own, and the rest."""
    from torch.distributed.fsdp import FSDPModule, fully_shard

    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    # Slices of a shared parameter in two groups would no longer be the same parameter.
    if len(names) == len(list(network.parameters())):
        for module in reversed(list(network.modules())):
            if isinstance(module, nn.ModuleList | nn.Sequential):
                for block in module:
                    if (
                        not isinstance(block, nn.ModuleList | FSDPModule)
                        and _size(block) >= MIN_PARAMETERS
                    ):
                        block.register_forward_hook(_forbid_in_place)
                        fully_shard(block, mesh=device_mesh)
    if not isinstance(network, FSDPModule):
        network.register_forward_hook(_forbid_in_place)
        fully_shard(network, mesh=device_mesh)


class _View(torch.autograd.Function):
    """A view that must not be changed in place."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient


def _forbid_in_place(_: nn.Module, __: Any, output: Any) -> Any:
    """Let changes in place raise where an output is a view.

    They would drop the hook that gathers parameters for the backward pass, and gradients would be
    wrong without a word.
    """
    if isinstance(output, Tensor) and output.requires_grad and output._is_view():
        return _View.apply(output)
    if isinstance(output, Mapping):
        return {key: _forbid_in_place(_, __, value) for key, value in output.items()}
    if type(output) in (list, tuple):
        return type(output)(_forbid_in_place(_, __, value) for value in output)
    return output


def _size(module: nn.Module) -> int:
    """Numbers in the parameters of a module that are in no group yet."""
    return sum(parameter.numel() for parameter in module.parameters() if not is_sharded(parameter))


def is_sharded(value: Any) -> "TypeGuard[DTensor]":
    """Whether a tensor is sharded."""
    # Where nothing has imported the module, which takes half a second, there is none.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, on every process; other tensors as they are."""
    if not is_sharded(tensor):
        return tensor
    full: Tensor = tensor.full_tensor()
    return full


def shard_like(example: Any, tensor: Tensor) -> Tensor:
    """This process's slice of a tensor, as an example of the same shape is sharded."""
    if not is_sharded(example) or example.shape != tensor.shape or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    whole = tensor.to(example.device)
    # Every process has the whole tensor: nothing to send. The slice may be a view of it.
    sharded = distribute_tensor(whole, example.device_mesh, example.placements, src_data_rank=None)
    copied: Tensor = sharded.clone()
    return copied


def shard_optimizer_state(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> dict[str, Any]:
    """The state of an optimizer with this process's slices of whole tensors."""
    parameters = dict(enumerate(_parameters(optimizer)))
    indices = [index for group in state["param_groups"] for index in group["params"]]
    examples = {index: parameters.get(position) for position, index in enumerate(indices)}
    values = {
        index: {
            key: shard_like(examples.get(index), value) if isinstance(value, Tensor) else value
            for key, value in of_parameter.items()
        }
        for index, of_parameter in state["state"].items()
    }
    return {**state, "state": values}


def load_network(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Load whole tensors into a network that may be sharded."""
    current = network.state_dict()
    network.load_state_dict(
        {key: shard_like(current.get(key), tensor) for key, tensor in tensors.items()},
        strict=strict,
    )


@contextmanager
def gathered(state: Any, folder: Path, *, keep: bool) -> Iterator[Any]:
    """A state whose sharded tensors are whole, in files that are mapped into memory.

    One tensor at a time is gathered, so that no process needs room for all of them.

    Args:
        state: Dicts, lists and tuples of tensors and plain data, alike on all processes.
        folder: Folder for the files, which are gone afterwards.
        keep: Whether this process needs the tensors; all take part in gathering.
    """
    if not _has_slices(state):
        yield state
        return
    if not keep:
        _map(state, lambda tensor: full_tensor(tensor).new_empty(0))
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".gathered-") as name:
        numbers = itertools.count()

        def whole(tensor: Tensor) -> Tensor:
            full = full_tensor(tensor).detach()
            if full.numel() == 0:
                return full.cpu()
            path = str(Path(name, str(next(numbers))))
            mapped = torch.from_file(path, shared=True, size=full.numel(), dtype=full.dtype)
            return mapped.view(full.shape).copy_(full)

        yield _map(state, whole)


def _has_slices(value: Any) -> bool:
    """Whether any tensor in dicts, lists and tuples is sharded."""
    if isinstance(value, Mapping):
        return any(map(_has_slices, value.values()))
    return any(map(_has_slices, value)) if isinstance(value, list | tuple) else is_sharded(value)


def _map(value: Any, change: Any) -> Any:
    """Dicts, lists and tuples with their sharded tensors changed."""
    if is_sharded(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_map(each, change) for each in value)
    return value


@torch.no_grad()
def gather_parameters(networks: Mapping[str, nn.Module]) -> Callable[[], None]:
    """Give networks whole parameters, as one process has them.

    Any method may be called then, by a single process as well. All processes take part.

    Returns:
        Takes slices of them again, once.
    """
    from torch.distributed.fsdp import FSDPModule

    whole: dict[int, nn.Parameter] = {}
    sizes: dict[int, int] = {}
    slices: list[tuple[nn.Module, str, Any]] = []
    hooks: list[tuple[dict[int, Any], dict[int, Any]]] = []
    modules = [module for network in networks.values() for module in network.modules()]
    for module in modules:
        if isinstance(module, FSDPModule):
            module.reshard()
            for of_module in (module._forward_pre_hooks, module._forward_hooks):
                hooks.append((of_module, dict(of_module)))
                for key, hook in list(of_module.items()):
                    if hook.__module__.startswith("torch.distributed.fsdp"):
                        del of_module[key]
    for module in modules:
        for name, parameter in module._parameters.items():
            if not is_sharded(parameter):
                continue
            if id(parameter) not in whole:
                whole[id(parameter)] = nn.Parameter(
                    full_tensor(parameter.detach()), parameter.requires_grad
                )
                storage = parameter.to_local().untyped_storage()
                sizes[id(parameter)] = storage.nbytes()
                storage.resize_(0)  # or there would be one and a half of each
                if sizes[id(parameter)] >= LARGE_SLICE:
                    release_memory(parameter.device)
            slices.append((module, name, parameter))
            module._parameters[name] = whole[id(parameter)]

    @torch.no_grad()
    def restore() -> None:
        for module, name, parameter in slices:
            module._parameters[name] = parameter
            if id(parameter) in sizes:
                local, size = parameter.to_local(), sizes.pop(id(parameter))
                local.untyped_storage().resize_(size)
                part: Any = shard_like(parameter, whole.pop(id(parameter)).detach())
                local.copy_(part.to_local())
                del part
                if size >= LARGE_SLICE:
                    release_memory(parameter.device)
        for of_module, before in hooks:
            of_module.clear()
            of_module.update(before)

    return restore


@contextmanager
def unsharded(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Networks with whole parameters for a block of code, where they are sharded."""
    parameters = (parameter for network in networks.values() for parameter in network.parameters())
    if not any(map(is_sharded, parameters)):
        yield
        return
    restore = gather_parameters(networks)
    try:
        yield
    finally:
        restore()
