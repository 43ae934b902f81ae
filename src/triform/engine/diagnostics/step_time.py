"""Choose float32 or bf16 by the time that a system's own training step takes in each.

Whether bf16 is faster depends on the processor and on the layers: a processor with instructions
for it may still convert for longer than it saves. The choice is kept in the cache folder, one file
for each machine, system and size of its step, and with each run in its checkpoints.
"""

import contextlib
import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import NOTICE, get_logger
from triform.base.paths import cache_dir
from triform.base.seeding import hash_seed, random_state, set_random_state
from triform.engine.config import TrainingConfig
from triform.engine.device import (
    NumberFormat,
    autocast,
    has_fast_bf16,
    pick_precision,
    processor_name,
    to_device,
)
from triform.engine.processes import Processes
from triform.engine.protocol import System
from triform.engine.update import Update

logger = get_logger(__name__)

FORMATS: tuple[NumberFormat, ...] = ("float32", "bf16")
REPEATS = 3
"""Timed steps in each format, after one that is not timed; the fastest counts."""
MAX_SECONDS = 20.0
"""After this time no further steps are taken than one of each format."""
MIN_GAIN = 1.1
"""bf16 has to be faster by this factor: it has fewer digits, and less may be chance."""
ENGINE_SETTINGS = ("device", "seed", "scheduler", "early_stopping", "logging")

MakeUpdate = Callable[[NumberFormat], Update]


def is_measured(training: TrainingConfig, device: torch.device) -> bool:
    """Whether settings and device leave the precision to a measurement.

    On a GPU with bf16 it always pays; a processor without instructions for it never gains.
    """
    is_open = training.precision == "auto" and training.use_amp
    return is_open and device.type == "cpu" and has_fast_bf16(device)


def initial_precision(
    training: TrainingConfig, device: torch.device, state: Mapping[str, Any] | None
) -> NumberFormat:
    """The precision of a run before any measurement.

    Args:
        training: Settings; a format that they name is obeyed.
        device: Where the run computes.
        state: Checkpoint that the run resumes from: its choice between float32 and bf16 is kept,
            on any machine, so that the run goes on as it began. None for a new run.
    """
    saved = state.get("precision") if state is not None else None
    if training.precision == "auto" and training.use_amp and saved in FORMATS:
        precision: NumberFormat = saved
        return precision
    return pick_precision(training, device)


def choose_precision(
    system: System[Any],
    networks: Mapping[str, nn.Module],
    make_update: MakeUpdate,
    processes: Processes,
) -> NumberFormat:
    """The faster format on this machine, as measured before or now; the same on every process.

    Args:
        system: A system before its first step; it is left as it was.
        networks: Its trained networks, as they are saved.
        make_update: Makes an update for a format.
        processes: All take the choice of the first one.
    """
    key = step_key(system, processes)
    file = cache_dir() / "precision" / f"{hash_seed(json.dumps(key, sort_keys=True)):016x}.json"
    known: NumberFormat | None = processes.gather(_read(file))[0]
    if known is not None:
        logger.info("precision: %s, as measured before on this machine (%s)", known, file)
        return known
    measured = measure_step(system, networks, make_update, processes)
    seconds: dict[NumberFormat, float] = processes.gather(measured)[0]
    is_faster = seconds["bf16"] * MIN_GAIN <= seconds["float32"]
    precision: NumberFormat = "bf16" if is_faster else "float32"
    if processes.is_main:
        _write(file, {"precision": precision, "seconds": seconds, **key})
        times = ", ".join(f"{seconds[name]:.3g} s in {name}" for name in FORMATS)
        logger.log(NOTICE, "precision: %s; a step takes %s", precision, times)
    return precision


def step_key(system: System[Any], processes: Processes) -> dict[str, Any]:
    """What the time of a step depends on: machine, versions, and settings but for the engine's."""
    settings = system.config.model_dump(mode="json", exclude=set(ENGINE_SETTINGS))
    settings["training"] = {
        name: value
        for name, value in settings["training"].items()
        if name not in TrainingConfig.model_fields
    }
    return {
        "system": system.name,
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "processes": processes.count,
        "torch": torch.__version__,
        "settings": settings,
    }


def measure_step(
    system: System[Any],
    networks: Mapping[str, nn.Module],
    make_update: MakeUpdate,
    processes: Processes,
) -> dict[NumberFormat, float]:
    """Seconds of a training step on one batch in each format; the system is left as it was."""
    seconds = dict.fromkeys(FORMATS, math.inf)
    with _restored(system, networks), contextlib.ExitStack() as stack:
        updates = {name: make_update(name) for name in FORMATS}
        batches = iter(system.batches())
        if hasattr(batches, "close"):  # a generator ends before the state is restored
            stack.callback(batches.close)
        batch = next(batches)
        began = time.perf_counter()
        for repeat in range(1 + REPEATS):
            for name, update in updates.items():
                inputs = to_device(copy.deepcopy(batch), processes.device)
                start = time.perf_counter()
                update.begin(0, 0)
                with autocast(processes.device, name):
                    system.step(inputs, update)
                if repeat > 0:
                    seconds[name] = min(seconds[name], time.perf_counter() - start)
            is_late = repeat > 0 and time.perf_counter() - began > MAX_SECONDS
            if processes.any(is_late)[0]:
                break
    return seconds


@contextlib.contextmanager
def _restored(system: System[Any], networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Undo what steps change, in the way that a run resumes from its checkpoint."""
    random = random_state()
    weights, optimizers, parts = (
        {name: copy.deepcopy(each.state_dict()) for name, each in objects.items()}
        for objects in (networks, system.optimizers, system.stateful_parts())
    )
    try:
        yield
    finally:
        for name, network in networks.items():
            network.load_state_dict(weights[name])
        for name, optimizer in system.optimizers.items():
            optimizer.load_state_dict(optimizers[name])
        for name, part in system.stateful_parts().items():
            part.load_state_dict(parts[name])
        set_random_state(random)


def _read(file: Path) -> NumberFormat | None:
    """The choice that a file holds; None if there is none, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("precision") in FORMATS:
            precision: NumberFormat = content["precision"]
            return precision
    return None


def _write(file: Path, content: dict[str, Any]) -> None:
    """Keep a choice; where that is impossible the next run measures again."""
    with contextlib.suppress(OSError, UserError), atomic_write(file, "w") as stream:
        json.dump(content, stream, indent=2)
