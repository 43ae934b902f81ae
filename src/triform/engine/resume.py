"""Going on where a run stopped: what has to be kept, and how it is put back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from triform.base.config import differences
from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.seeding import hash_seed, seed_everything, set_random_state
from triform.engine import checkpoint
from triform.engine.config import SystemConfig
from triform.engine.run import Run

if TYPE_CHECKING:
    from triform.engine.session import Session

logger = get_logger(__name__)


def resume_point(source: Path, config: SystemConfig) -> tuple[Path | None, Path | None]:
    """What `resume_from` means.

    Returns:
        The run directory to go on in (None for a new one), and the checkpoint (None where a run
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
    # Going on from `best` or an epoch must not overwrite what the run did after it.
    run_dir = source.parent.parent
    is_last = source.name == config.training.checkpoint_file("last")
    in_place = (
        is_last
        and source.parent.name == "checkpoints"
        # Beside a folder of checkpoints that somebody named, config.yaml is that person's own.
        and all((run_dir / name).is_file() for name in ("config.yaml", "training.log"))
    )
    return (run_dir if in_place else None), source


def collect_state(session: "Session", random: list[dict[str, Any]]) -> checkpoint.State:
    """Everything that going on needs."""
    system = session.system
    return {
        "system": system.name,
        "config": session.config.model_dump(mode="json"),
        "networks": {name: net.state_dict() for name, net in session.networks.items()},
        "ema": session.average.state_dict(),
        "optimizers": {name: opt.state_dict() for name, opt in system.optimizers.items()},
        "stateful": {name: each.state_dict() for name, each in system.stateful.items()},
        "schedule": session.schedule.state_dict(),
        "stopping": session.stopping.state_dict(),
        "update": session.update.state_dict(),
        "random": random,
        "step": session.step,
        "epoch": session.epoch,
        "best": session.best,
        "metrics": session.metrics,
        "stopped": session.stopped,
        "seconds": session.minutes * 60,
    }


def restore_state(session: "Session", state: checkpoint.State) -> None:
    """Go on where a checkpoint stopped."""
    system = session.system
    if state["system"] != system.name:
        raise UserError(
            f"{session.config.training.resume_from}: a checkpoint of "
            f"{state['system']}, not of {system.name}"
        )
    changed = differences(state["config"], session.config.model_dump(mode="json"))
    changed.pop("training.resume_from", None)
    words = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    if changed:
        logger.warning("resuming with changed settings: %s", words)
    try:
        for name, network in session.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in system.optimizers.items():
            _load_optimizer(optimizer, state["optimizers"][name])
        for name, each in system.stateful.items():
            each.load_state_dict(state["stateful"][name])
        session.average.load_state_dict(state["ema"])
        session.schedule.load_state_dict(state["schedule"])
        session.stopping.load_state_dict(state["stopping"])
        session.update.load_state_dict(state["update"])
        session.step, session.epoch, session.best = state["step"], state["epoch"], state["best"]
        session.metrics, session.seconds_before = dict(state["metrics"]), state["seconds"]
        # Whoever changes early stopping wants another decision.
        again = any(name.startswith("early_stopping.") for name in changed)
        session.stopped = "" if again else state["stopped"]
        _restore_random(session, state["random"])
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        first = (str(error).strip().splitlines() or [""])[-1].strip()
        first = f"it lacks {first}" if isinstance(error, KeyError) else first
        raise UserError(
            f"{session.config.training.resume_from}: does not fit this system: "
            f"{first}" + (f"; changed settings: {words}" if words else "")
        ) from error


def _restore_random(session: "Session", states: list[dict[str, Any]]) -> None:
    """Give each process its own random numbers back."""
    processes = session.processes
    if len(states) == processes.count:
        set_random_state(states[processes.index])
        return
    logger.warning(
        "resuming with %d process(es) after %d: random numbers start anew",
        processes.count,
        len(states),
    )
    seed_everything(hash_seed(session.config.seed, "fit", processes.index, session.step))


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what an optimizer remembers; its settings stay those of this run's config."""
    options = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, mine in zip(optimizer.param_groups, options, strict=True):
        group.update(mine)
