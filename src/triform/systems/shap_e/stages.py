"""Stages of a joint training: encoder and decoder first, then the prior of latents at rest."""

from __future__ import annotations

from triform.engine.schedule import Schedule
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.trained import PRIOR, TRANSMITTER


def trained_networks(config: Config, epoch: int) -> tuple[str, ...]:
    """Names of the networks that an epoch trains."""
    if not config.transmitter.joint:
        return (PRIOR,)
    limit = config.training.transmitter_epochs
    if not limit:
        return (TRANSMITTER, PRIOR)
    return (TRANSMITTER,) if epoch < limit else (PRIOR,)


def stage_rates(config: Config, step: int, epoch: int, steps_per_epoch: int) -> dict[str, float]:
    """Learning rates by a schedule of each stage's own, so that both end at a low rate.

    Args:
        config: Settings.
        step: Steps done.
        epoch: Epochs done.
        steps_per_epoch: Steps of an epoch.

    Returns:
        Network -> rate; empty where the schedule is that of the whole run: without stages, or
        where it follows the monitored number.
    """
    training, scheduler = config.training, config.scheduler
    limit = training.transmitter_epochs if config.transmitter.joint else 0
    if not limit or scheduler.type == "ReduceLROnPlateau":
        return {}
    is_first = epoch < limit
    begin, end = (0, min(limit, training.epochs)) if is_first else (limit, training.epochs)
    schedule = Schedule(
        scheduler,
        warmup_steps=training.warmup_steps,
        total_steps=(end - begin) * steps_per_epoch,
        epochs=end - begin,
    )
    name, base = (TRANSMITTER, training.transmitter_lr) if is_first else (PRIOR, training.lr)
    return {name: schedule.rate(base, step - begin * steps_per_epoch, epoch - begin)}
