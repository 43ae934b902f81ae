"""Recognise lack of memory and suggest a setting to lower."""

import functools
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
    flags = FlagTable(type(config)).flags
    for knob in config.training.memory_knobs:
        for flag in flags:
            value: Any = functools.reduce(getattr, flag.path, config)
            if flag.path[-1] == knob and isinstance(value, int) and value > 1:
                return f"out of memory on {device}: try --{flag.name} {value // 2} (it is {value})"
    return (
        f"out of memory on {device}: try --precision bf16, a smaller preset, or a device "
        "with more memory"
    )
