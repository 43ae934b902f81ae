"""Recognise lack of memory and suggest a setting to lower."""

from collections.abc import Mapping
from typing import Any

import torch

from triform.base.settings.flags import FlagTable
from triform.engine.config import SystemConfig

SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the processor."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def memory_advice(config: SystemConfig, device: torch.device) -> str:
    """One line that names the setting to lower and the number to try.

    Args:
        config: The settings; `training.memory_knobs` lists what costs memory.
        device: Where it ran out.
    """
    values = dict(_leaves(config.model_dump()))
    table = FlagTable(type(config))
    for knob in config.training.memory_knobs:
        for path, value in values.items():
            if path[-1] == knob and isinstance(value, int) and value > 1:
                flag = table.by_path(path)
                name = flag.name if flag else knob
                return f"out of memory on {device}: try --{name} {value // 2} (it is {value})"
    return (
        f"out of memory on {device}: try --precision bf16, a smaller preset, or a device "
        "with more memory"
    )


def _leaves(
    data: Mapping[str, Any], path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Any]]:
    """Every setting with its path."""
    settings: list[tuple[tuple[str, ...], Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            settings += _leaves(value, (*path, key))
        else:
            settings.append(((*path, key), value))
    return settings
