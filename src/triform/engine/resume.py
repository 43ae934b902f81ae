"""Resume a run: find its checkpoint, check that it fits, restore random numbers and optimizers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import shorten
from triform.base.seeding import hash_seed, seed_everything, set_random_state
from triform.base.settings.config import differences
from triform.engine.config import SystemConfig
from triform.engine.processes import Processes
from triform.engine.protocol import System
from triform.engine.runs.run import Run
from triform.engine.sharding import shard_optimizer_state

logger = get_logger(__name__)


def resume_point(source: Path, config: SystemConfig) -> tuple[Path | None, Path | None]:
    """Find the run directory and the checkpoint that `resume_from` names.

    Returns:
        The run directory to continue in (None for a new one), and the checkpoint (None where a run
        was killed before its first).

    Raises:
        UserError: Neither a run directory nor a file.
    """
    if source.is_dir():
        last = Run(source, config).checkpoint("last")
        if not last.is_file() and not (source / "config.yaml").is_file():
            raise UserError(f"--resume_from {source}: neither a run directory nor a checkpoint")
        return source, last if last.is_file() else None
    if not source.is_file():
        raise UserError(f"--resume_from {source}: no such file or run directory")
    # Resuming from `best` or an epoch must not overwrite what the run did after it.
    run_dir = source.parent.parent
    is_last = source.name == config.training.checkpoint_file("last")
    continues_run = (
        is_last
        and source.parent.name == "checkpoints"
        # Beside a folder of checkpoints that somebody named, config.yaml is that person's own.
        and all((run_dir / name).is_file() for name in ("config.yaml", "training.log"))
    )
    return (run_dir if continues_run else None), source


Changes = Mapping[str, tuple[Any, Any]]
"""Dotted name of a setting -> (old value, new value)."""


def check_resumable(state: Mapping[str, Any], system: System[Any], config: SystemConfig) -> Changes:
    """Refuse a checkpoint of another system or of other data, and warn of changed settings.

    Returns:
        The settings that differ from those of the checkpoint.

    Raises:
        UserError: The system or its metadata differ.
    """
    source = config.training.resume_from
    if state["system"] != system.name:
        raise UserError(f"{source}: a checkpoint of {state['system']}, not of {system.name}")
    saved, current = (
        {name: value for name, value in data.items() if name not in system.variable_metadata}
        for data in (state["metadata"], system.metadata())
    )
    other = differences(saved, current)
    if other:
        name, (old, new) = next(iter(other.items()))
        raise UserError(
            f"{source}: trained with another {name}: {shorten(str(old))} there, "
            f"{shorten(str(new))} here; the data must be the same"
        )
    changes = differences(state["config"], config.model_dump(mode="json"))
    changes.pop("training.resume_from", None)
    if changes:
        logger.warning("resuming with changed settings: %s", describe_changes(changes))
    return changes


def trains_other_parameters(state: Mapping[str, Any], system: System[Any]) -> bool:
    """Whether the optimizers train other parameters than those of the checkpoint did.

    So it is where fine-tuning of a pretrained part begins: the state of the optimizers is of no
    use then.
    """
    try:
        return any(
            [len(group["params"]) for group in state["optimizers"][name]["param_groups"]]
            != [len(group["params"]) for group in optimizer.param_groups]
            for name, optimizer in system.optimizers.items()
        )
    except (KeyError, TypeError):
        return False  # loading says what is wrong


def describe_changes(changes: Changes) -> str:
    """Changed settings in one line."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())


@contextmanager
def mismatch_errors(source: str | None, changes: Changes) -> Iterator[None]:
    """Turn the errors of loading a state that does not fit into one line.

    Args:
        source: The checkpoint, for the message.
        changes: Settings that differ, a likely reason.

    Raises:
        UserError: Loading failed.
    """
    try:
        yield
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = shorten((str(error).strip().splitlines() or [""])[-1].strip())
        reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
        changed = f"; changed settings: {describe_changes(changes)}" if changes else ""
        raise UserError(f"{source}: does not fit this system: {reason}{changed}") from error


def restore_random_state(
    states: list[dict[str, Any]], processes: Processes, seed: int, step: int
) -> None:
    """Restore each process's random state; other numbers where the count of processes differs."""
    if len(states) == processes.count:
        set_random_state(states[processes.index])
        return
    logger.warning(
        "resuming with %d process(es) after %d: random numbers start anew",
        processes.count,
        len(states),
    )
    seed_everything(hash_seed(seed, "fit", processes.index, step))


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state; its options stay those of this run's config."""
    options = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(shard_optimizer_state(optimizer, state))
    for group, current in zip(optimizer.param_groups, options, strict=True):
        group.update(current)
