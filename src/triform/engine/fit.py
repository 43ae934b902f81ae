"""The loop that trains everything.

Reading it top to bottom is reading what training means here: step until the epoch is over,
measure, remember the best, save, and stop for a reason that can be said in one line. What a
step computes is the system's business (`protocol.py`); how a loss becomes a change of weights is
`update.py`; what is saved and brought back is `session.py`.
"""

import math
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.config import SystemConfig
from triform.engine.device import autocast, to_device
from triform.engine.interrupts import Interrupts
from triform.engine.memory import is_out_of_memory, memory_advice
from triform.engine.progress import Progress
from triform.engine.protocol import System
from triform.engine.session import Session
from triform.engine.update import NonFiniteError

logger = get_logger(__name__)


@dataclass(frozen=True)
class Result:
    """What came out of a run.

    Attributes:
        run_dir: The run directory.
        best: The best value of the monitored number: `value`, `monitor`, `epoch`, `step`; None
            where nothing was evaluated.
        metrics: Last value of every number.
        reason: Why training ended.
    """

    run_dir: Path
    best: dict[str, Any] | None
    metrics: dict[str, float]
    reason: str


def fit(system: System, config: SystemConfig | None = None) -> Result:
    """Train a system.

    Args:
        system: What to train; its networks hold the last weights afterwards.
        config: The settings; those of the system by default.

    Returns:
        Where the run is, and how well it went.

    Raises:
        UserError: Training cannot start or go on, in one line.
        KeyboardInterrupt: Somebody wanted to stop; the run is saved and the log says how to
            go on.
    """
    config = config or system.config
    with Session(system, config) as session, advice(session), Interrupts() as interrupts:
        if finished := session.stopped or session.limit():
            logger.warning(
                "%s is finished (%s): nothing to do; to train on, raise the limit or "
                "resume from a checkpoint with other settings",
                session.run.path,
                finished,
            )
            return Result(session.run.path, session.best, session.metrics, finished)
        if session.step == 0:
            draw_samples(session)
            session.save("last")
        reason = ""
        with Progress(session.total_steps, session.step, show=session.processes.is_main) as bar:
            while not reason:
                train_epoch(session, bar, interrupts)
                reason = session.processes.gather(session.limit())[0]
                reason = finish_epoch(session, reason)
        say_goodbye(session, reason)
        return Result(session.run.path, session.best, session.metrics, reason)


def train_epoch(session: Session, bar: Progress, interrupts: Interrupts) -> None:
    """Step through the rest of the present epoch, or up to a limit of the settings."""
    system, update = session.system, session.update
    minutes = session.config.training.save_every_minutes
    log_every = session.config.logging.log_every
    for batch in system.batches():
        update.begin(session.step, session.epoch)
        with autocast(session.device, session.precision):
            scalars = system.step(to_device(batch, session.device), update)
        session.step += 1
        session.average.update(session.step)
        session.collect(scalars)
        due = session.step % log_every == 0
        bar.step(session.epoch, session.log_training() if due else None)

        overdue = minutes > 0 and time.monotonic() - session.last_save > 60 * minutes
        stop, save, enough = session.processes.any(
            interrupts.wanted, overdue and update.is_healthy, bool(session.limit())
        )
        if stop:
            stop_politely(session)
        if enough:
            return
        if save:
            session.save("last")
    session.epoch += 1


def finish_epoch(session: Session, reason: str) -> str:
    """Measure, remember the best, adapt the learning rate, save; returns why to stop, if so."""
    training, is_best, names = session.config.training, False, ["last"]
    session.log_training()
    share_statistics(session)
    if reason or session.epoch % training.evaluate_every == 0:
        is_best, session.stopped = evaluate(session)
        reason = reason or session.stopped
    if training.save_every_epoch:
        names.insert(0, f"epoch_{session.epoch:03d}")
    if is_best:
        names.insert(0, "best")
    # After a failed step the last good checkpoint stays, unless the weights have just proved good.
    if session.update.is_healthy or is_best:
        session.save(*names)
    every = session.config.logging.sample_every
    if every and (reason or session.epoch % every == 0):
        draw_samples(session)
    session.write_summary(reason)
    call_hooks(session, is_best=is_best, reason=reason)
    return reason


def evaluate(session: Session) -> tuple[bool, str]:
    """Measure on validation data (and on training data, for the overfitting watch).

    Returns:
        Whether this was the best so far, and why to stop early, if so.
    """
    system, stopping = session.system, session.stopping
    values = session.measure("val")
    if not values:
        # Nothing to choose by: the newest weights are the best there are.
        return True, ""
    if system.monitor not in values:
        raise UserError(
            f"{system.name} monitors {system.monitor}, but its evaluation gives only "
            f"{', '.join(values)}"
        )
    if stopping.watches_overfitting and "val/loss" in values:
        values |= session.measure("train")
        if "train_eval/loss" in values:
            values["overfitting_gap"] = values["train_eval/loss"] - values["val/loss"]
    session.log(values)
    logger.info(
        "epoch %d: %s",
        session.epoch,
        ", ".join(f"{name} {value:.4g}" for name, value in values.items()),
    )
    value = values[system.monitor]
    is_best = is_better(value, session.best, system.monitor_mode)
    if is_best:
        session.best = {
            "value": value,
            "monitor": system.monitor,
            "epoch": session.epoch,
            "step": session.step,
        }
    if session.schedule.on_evaluation(value):
        logger.info("no improvement: learning rate times %g", session.schedule.config.factor)
    why = stopping.on_evaluation(
        value, train_loss=values.get("train_eval/loss"), val_loss=values.get("val/loss")
    )
    return is_best, why


def is_better(value: float, best: dict[str, Any] | None, mode: str) -> bool:
    """Whether a value beats the best so far; what is not a number beats nothing."""
    if math.isnan(value):
        return False
    return best is None or (value < best["value"] if mode == "min" else value > best["value"])


def share_statistics(session: Session) -> None:
    """Give all processes the mean of their running statistics, so that they measure alike."""
    session.processes.average_(
        [
            buffer
            for network in session.networks.values()
            for buffer in network.buffers()
            if buffer.is_floating_point()
        ]
    )


def draw_samples(session: Session) -> None:
    """Let the system show what it can do so far."""
    if session.config.logging.sample_every and session.processes.is_main:
        with session.evaluation("sample"):
            session.system.sample(session.run.samples, session.step)
    session.processes.wait()


def call_hooks(session: Session, *, is_best: bool, reason: str) -> None:
    """Let the system's hooks see the end of an epoch, and of training."""
    if session.processes.is_main and session.system.hooks:
        context = session.context(is_best=is_best, reason=reason)
        with session.evaluation("hooks"):
            for hook in session.system.hooks:
                hook.on_epoch_end(context)
                if reason:
                    hook.on_end(context)
    session.processes.wait()


def say_goodbye(session: Session, reason: str) -> None:
    """Say how it went, and write the model card."""
    if session.processes.is_main:
        best = session.best
        if best:
            logger.info(
                "best %s: %.6g after epoch %d", best["monitor"], best["value"], best["epoch"]
            )
        logger.info("finished: %s; %s", reason, session.run.path)
        session.run.write_model_card(session.system.name, session.metrics, best, reason)


def stop_politely(session: Session) -> None:
    """Save, say how to go on, and stop."""
    if session.update.is_healthy:
        session.save("last")
    logger.warning("stopped at step %d; to go on: %s", session.step, resume_command(session))
    raise KeyboardInterrupt


def resume_command(session: Session) -> str:
    """The command that goes on with this run."""
    count = session.processes.count
    program = "triform" if count == 1 else f"torchrun --nproc_per_node {count} -m triform.cli"
    path = shlex.quote(str(session.run.path))
    return f"{program} {session.system.name} train --resume_from {path}"


@contextmanager
def advice(session: Session) -> Iterator[None]:
    """Turn what nobody can act on into one line that says what to do."""
    try:
        yield
    except NonFiniteError as error:
        last, lr = session.run.checkpoint("last"), session.config.training.lr
        kept = f"the last good checkpoint is {last}; " if last.is_file() else ""
        raise UserError(
            f"stopped at step {session.step}: {error}; {kept}"
            f"try --lr {lr / 10:g}, --grad_clip 1 or --precision float32"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(memory_advice(session.config, session.device)) from error
