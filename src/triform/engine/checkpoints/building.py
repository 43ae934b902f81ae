"""Build networks from untrusted settings, checked against the file's tensors first."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from triform.engine.checkpoints.checkpoint import StateDicts

PARTS_PER_TENSOR = 8
FEWEST_PARTS = 2_000
"""Modules, parameters and buffers that settings may always ask for; they take milliseconds."""
COMPUTED_BYTES = 2**26
"""Bytes that computed buffers may have beyond the bytes of the file's tensors."""
Networks = Mapping[str, nn.Module]
Network = TypeVar("Network", bound=nn.Module)

_BUILD_ERRORS = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RecursionError,
)
"""Errors that layers and torch raise for invalid settings."""


def build_networks(
    build: Callable[[], Networks], weights: StateDicts, path: Path | str
) -> dict[str, nn.Module]:
    """Build networks and load the weights of a file, in evaluation mode on the CPU.

    They are built on the meta device first, and every name and shape is compared with the file's
    tensors. So a file costs memory in proportion to its size, whatever its settings are.

    Args:
        build: Builds the networks by their names in the file; called twice.
        weights: Network -> name -> tensor; networks that `build` does not give are ignored.
        path: The file, for messages.

    Raises:
        UserError: The weights do not fit the networks.
    """
    try:
        with torch.random.fork_rng(devices=[]), _limited_parts(weights), torch.device("meta"):
            meta_networks = build()
        for name, network in meta_networks.items():
            _check_network(name, network, weights)
        networks = dict(build())
        for name, network in networks.items():
            network.load_state_dict(weights[name])
            network.eval()
    except _BUILD_ERRORS as error:
        raise mismatch_error(path, error) from error
    return networks


def build_network(
    build: Callable[[], Network], tensors: Mapping[str, Tensor], path: Path | str, name: str = ""
) -> Network:
    """Build one network and load the weights of a file; see `build_networks`.

    Raises:
        UserError: The weights do not fit the network.
    """
    built: list[Network] = []

    def named() -> Networks:
        built.append(build())
        return {name: built[-1]}

    build_networks(named, {name: dict(tensors)}, path)
    return built[-1]


def mismatch_error(path: Path | str, error: BaseException | str) -> UserError:
    """An error that says in one line that weights do not fit their settings."""
    lines = str(error).strip().splitlines() or [""]
    reason = " ".join(lines[-1].split())[:200]
    reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
    return UserError(f"{path}: its weights do not fit its settings" + (reason and f": {reason}"))


def check_integers(settings: Any, weights: StateDicts, path: Path | str, name: str = "") -> None:
    """Refuse integers larger than the number of weights in the file.

    Loops over layers and powers of two of a width come before any tensor, so that such a number
    must be refused before a network is built.

    Args:
        settings: Settings of the networks, as plain data.
        weights: Network -> name -> tensor.
        path: The file, for messages.
        name: Name of the settings, for messages.

    Raises:
        UserError: A number is too large.
    """
    num_values = sum(tensor.numel() for tensors in weights.values() for tensor in tensors.values())
    limit = max(num_values, 2**20)
    pending = [(name, settings)]
    while pending:
        path_in_settings, value = pending.pop()
        if isinstance(value, dict):
            pending += [
                (f"{path_in_settings}.{key}" if path_in_settings else key, one)
                for key, one in value.items()
            ]
        elif isinstance(value, list | tuple):
            pending += [(path_in_settings, one) for one in value]
        elif isinstance(value, int) and abs(value) > limit:
            raise mismatch_error(
                path, f"{path_in_settings} is {value}, and the file holds {num_values} numbers"
            )


def compare_tensors(
    name: str, network: nn.Module, tensors: Mapping[str, Tensor], optional: Sequence[str] = ()
) -> None:
    """Compare a network with the tensors of a file.

    Args:
        name: Of the network.
        network: On any device.
        tensors: Name -> tensor.
        optional: Beginnings of the names, that of the network included, which may be missing.

    Raises:
        ValueError: A tensor is missing, misshapen or unexpected.
    """
    expected, prefix = network.state_dict(), f"{name}." if name else ""
    for key, tensor in expected.items():
        if key not in tensors and f"{prefix}{key}".startswith(tuple(optional)):
            continue
        tensor_in_file = tensors.get(key)
        if not isinstance(tensor_in_file, Tensor):
            raise ValueError(f"{prefix}{key} is missing")
        if tensor_in_file.shape != tensor.shape:
            raise ValueError(
                f"{prefix}{key} has shape {_shape(tensor_in_file)} in place of {_shape(tensor)}"
            )
    extra = next((key for key in tensors if key not in expected), None)
    if extra is not None:
        raise ValueError(f"{prefix}{extra} belongs nowhere")


def _check_network(name: str, network: nn.Module, weights: StateDicts) -> None:
    """Compare a network with the file, and limit the tables that it computes."""
    tensors = weights.get(name)
    if tensors is None:
        raise ValueError(f"the network {name} is missing")
    compare_tensors(name, network, tensors)
    expected = network.state_dict()
    computed = sum(
        buffer.numel() * buffer.element_size()
        for key, buffer in network.named_buffers()
        if key not in expected
    )
    stored = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if computed > stored + COMPUTED_BYTES:
        raise ValueError(f"{name} computes {computed:,} bytes of tables")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


@contextmanager
def _limited_parts(weights: StateDicts) -> Iterator[None]:
    """Limit the modules, parameters and buffers that this thread may register."""
    num_tensors = sum(len(tensors) for tensors in weights.values())
    remaining, thread = FEWEST_PARTS + PARTS_PER_TENSOR * num_tensors, threading.get_ident()

    def count(*_: Any) -> None:
        nonlocal remaining
        if threading.get_ident() == thread:
            remaining -= 1
            if remaining < 0:
                raise ValueError(
                    f"networks of far more parts than the file's {num_tensors} tensors"
                )

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
