"""Devices and precision: choose them, describe them, move batches."""

import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil
import torch

from triform.base.errors import UsageError
from triform.base.logging import get_logger
from triform.base.settings.config import Settings
from triform.engine.config import TrainingConfig
from triform.engine.packages import GIGABYTE

logger = get_logger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=Settings)
NumberFormat = Literal["float32", "bf16", "fp16"]
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(choice: str) -> torch.device:
    """The device for `auto`, `cpu`, `gpu`, `cuda` or `cuda:N`.

    With several processes each takes the GPU of its local number.

    Raises:
        UsageError: A GPU was asked for that is not there.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice == "cpu" or (choice == "auto" and not found):
        return torch.device("cpu")
    if choice not in ("auto", "gpu") and choice.partition(":")[0] != "cuda":
        raise UsageError(f"--device {choice}: must be auto, cpu, gpu, cuda or cuda:N")
    if not found:
        raise UsageError(f"--device {choice}: torch finds no GPU here; say --device cpu")
    index = int(choice.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    if index >= found:
        raise UsageError(f"--device {choice}: there is no GPU {index}, GPUs found: {found}")
    return torch.device("cuda", index)


def with_available_device(settings: S) -> S:
    """Settings of a file for this machine: a GPU that is not here becomes `auto`, with a warning.

    So a file with `device: cuda` trains anywhere, while `--device cuda` is an order.
    """
    choice = getattr(settings, "device", None)
    if not isinstance(choice, str):
        return settings
    try:
        pick_device(choice)
    except UsageError:
        found = pick_device("auto")
        logger.warning("device: %s (of the file): not here; going on with %s", choice, found)
        return settings.model_copy(update={"device": "auto"})
    return settings


def describe_device(device: torch.device) -> str:
    """One line about a device and its memory."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return f"{device} ({name}), {free / GIGABYTE:.1f} of {total / GIGABYTE:.1f} GB free"
    memory = psutil.virtual_memory()
    return (
        f"cpu ({processor_name()}), {torch.get_num_threads()} threads, "
        f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    )


def processor_name() -> str:
    """Model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def pick_precision(training: TrainingConfig, device: torch.device) -> NumberFormat:
    """The precision of the forward pass."""
    if training.precision != "auto":
        return training.precision
    if not training.use_amp:
        return "float32"
    if has_fast_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "float32"


def autocast(device: torch.device, precision: NumberFormat) -> AbstractContextManager[None]:
    """Autocast for a block of code; off for float32."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


def to_device(batch: T, device: torch.device) -> T:
    """Move every tensor in dicts, lists, tuples and dataclasses to a device."""
    moved: Any = batch
    if isinstance(batch, torch.Tensor):
        moved = batch.to(device, non_blocking=True)
    elif isinstance(batch, Mapping):
        moved = {key: to_device(value, device) for key, value in batch.items()}
    elif isinstance(batch, tuple) and hasattr(batch, "_fields"):
        moved = type(batch)(*(to_device(value, device) for value in batch))
    elif isinstance(batch, list | tuple):
        moved = type(batch)(to_device(value, device) for value in batch)
    elif is_dataclass(batch) and not isinstance(batch, type):
        moved = replace(
            batch,
            **{
                field.name: to_device(getattr(batch, field.name), device)
                for field in fields(batch)
                if field.init
            },
        )
    result: T = moved
    return result
