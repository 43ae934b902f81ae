"""Networks of a stranger's settings, compared with the file's tensors before they cost memory."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from triform.base.errors import UserError
from triform.engine.checkpoint import StateDicts

PARTS_PER_TENSOR = 8
FEWEST_PARTS = 2_000
"""Parts that settings may ask for however few tensors the file has: milliseconds of building."""
COMPUTED_BYTES = 2**26
"""Room for buffers that are computed when a network is built, beyond as many bytes as the file
has tensors."""
Networks = Mapping[str, nn.Module]
Network = TypeVar("Network", bound=nn.Module)

_REFUSED = (
    KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError,
    ArithmeticError, AssertionError, MemoryError, RecursionError,
)  # fmt: skip
"""What layers and torch raise when settings make no sense."""


def build_networks(
    build: Callable[[], Networks], weights: StateDicts, path: Path | str
) -> dict[str, nn.Module]:
    """Networks with the weights of a file, in evaluation mode on the processor.

    They are built without memory first, and every name and shape is compared with the file's
    tensors; only what fits is built for real. So a file costs memory in proportion to its size,
    whatever its settings say.

    Args:
        build: Makes the networks by their names in the file; called twice.
        weights: Network -> name -> tensor; other networks than those of `build` are left alone.
        path: Where all this came from, for messages.

    Raises:
        UserError: The weights are not those of such networks.
    """
    try:
        with torch.random.fork_rng(devices=[]), _few_parts(weights), torch.device("meta"):
            planned = build()
        for name, network in planned.items():
            _compare(name, network, weights)
        networks = dict(build())
        for name, network in networks.items():
            network.load_state_dict(weights[name])
            network.eval()
    except _REFUSED as error:
        raise misfit(path, error) from error
    return networks


def build_network(
    build: Callable[[], Network], tensors: Mapping[str, Tensor], path: Path | str, name: str = ""
) -> Network:
    """One network with the weights of a file; see `build_networks`.

    Raises:
        UserError: The weights are not those of such a network.
    """
    built: list[Network] = []

    def named() -> Networks:
        built.append(build())
        return {name: built[-1]}

    build_networks(named, {name: dict(tensors)}, path)
    return built[-1]


def misfit(path: Path | str, error: BaseException | str) -> UserError:
    """The error that says in one line that weights are not those of their settings."""
    lines = str(error).strip().splitlines() or [""]
    reason = " ".join(lines[-1].split())[:200]
    reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
    return UserError(f"{path}: its weights do not fit its settings" + (reason and f": {reason}"))


def check_integers(settings: Any, weights: StateDicts, path: Path | str, name: str = "") -> None:
    """Refuse sizes larger than all weights of the file together.

    Loops over layers and powers of two of a width come before any tensor: a number that no
    network of this file can have must not get as far.

    Args:
        settings: Of the networks, as plain data.
        weights: Network -> name -> tensor.
        path: The file, for messages.
        name: Of the settings, for messages.

    Raises:
        UserError: A number is too large.
    """
    numbers = sum(tensor.numel() for own in weights.values() for tensor in own.values())
    limit = max(numbers, 2**20)
    waiting = [(name, settings)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{where}.{key}" if where else key, one) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(where, one) for one in value]
        elif isinstance(value, int) and abs(value) > limit:
            raise misfit(path, f"{where} is {value}, and the file holds {numbers} numbers")


def _compare(name: str, network: nn.Module, weights: StateDicts) -> None:
    """Find the first tensor that is missing, of another shape, or too much."""
    own, prefix = weights.get(name), f"{name}." if name else ""
    if own is None:
        raise ValueError(f"the network {name} is missing")
    expected = network.state_dict()
    for key, tensor in expected.items():
        seen = own.get(key)
        if not isinstance(seen, Tensor):
            raise ValueError(f"{prefix}{key} is missing")
        if seen.shape != tensor.shape:
            raise ValueError(f"{prefix}{key} has shape {_shape(seen)} in place of {_shape(tensor)}")
    extra = next((key for key in own if key not in expected), None)
    if extra is not None:
        raise ValueError(f"{prefix}{extra} belongs nowhere")
    computed = sum(
        buffer.numel() * buffer.element_size()
        for key, buffer in network.named_buffers()
        if key not in expected
    )
    stored = sum(tensor.numel() * tensor.element_size() for tensor in own.values())
    if computed > stored + COMPUTED_BYTES:
        raise ValueError(f"{name} computes {computed:,} bytes of tables")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


@contextmanager
def _few_parts(weights: StateDicts) -> Iterator[None]:
    """Stop this thread from building networks of far more parts than the file has tensors."""
    tensors = sum(len(own) for own in weights.values())
    left, thread = FEWEST_PARTS + PARTS_PER_TENSOR * tensors, threading.get_ident()

    def count(*_: Any) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise ValueError(f"networks of far more parts than the file's {tensors} tensors")

    registered = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
        register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in registered:
            handle.remove()
