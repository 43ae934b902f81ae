"""The training loop.

Step until the epoch is over, evaluate, keep the best weights, save, and stop with a reason. A
step is computed by the system (`protocol.py`), the optimizers step in `update.py`, and
`session.py` holds the state of the run.
"""

import math
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.logging import NOTICE, get_logger
from triform.engine.device import autocast, to_device
from triform.engine.interrupts import Interrupts
from triform.engine.out_of_memory import is_out_of_memory, memory_advice
from triform.engine.progress import Progress
from triform.engine.protocol import System
from triform.engine.session import Session
from triform.engine.sharding import REFUSALS
from triform.engine.update import NonFiniteError

logger = get_logger(__name__)


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        run_dir: The run directory.
        best: The best value of the monitored number: `value`, `monitor`, `epoch`, `step`, and
            `metrics`, every number of that evaluation; None where nothing was evaluated.
        metrics: Last value of every number.
        weights: File of the weights that were kept: the best, or the last without an evaluation.
        reason: Reason of the end.
    """

    run_dir: Path
    best: dict[str, Any] | None
    metrics: dict[str, float]
    weights: Path
    reason: str


def fit(system: System[Any]) -> Result:
    """Train a system.

    Args:
        system: The system; its networks hold the last weights afterwards.

    Returns:
        The run directory and the results.

    Raises:
        UserError: Training cannot start or go on, in one line.
        KeyboardInterrupt: Training was interrupted; the run is saved and the log says how to
            resume.
    """
    if system.begins_with_weights:
        system.load_initial_weights()
    with Session(system) as session, user_errors(session), Interrupts() as interrupts:
        if finished := session.stopped or session.limit():
            logger.warning(
                "%s is finished (%s): nothing to do; to train on, raise the limit or "
                "resume from a checkpoint with other settings",
                session.run.path,
                finished,
            )
            return result(session, finished)
        session.settle_precision()
        if session.step == 0:
            draw_samples(session)
            session.save(*["best"] * session.starts_from_best, "last")
        reason = ""
        with Progress(session.total_steps, session.step, show=session.processes.is_main) as bar:
            while not reason:
                train_epoch(session, bar, interrupts)
                reason = session.processes.gather(session.limit())[0]
                reason = finish_epoch(session, reason)
        log_summary(session, reason)
        return result(session, reason)


def result(session: Session, reason: str) -> Result:
    """The result of a session that has ended."""
    weights = session.run.checkpoint("best")
    return Result(session.run.path, session.best, session.metrics, weights, reason)


def train_epoch(session: Session, bar: Progress, interrupts: Interrupts) -> None:
    """Train for the rest of the current epoch, or up to a limit of the settings."""
    system, update = session.system, session.update
    minutes = session.config.training.save_every_minutes
    log_every = session.config.logging.log_every
    for batch in system.batches():
        update.begin(session.step, session.epoch)
        with autocast(session.device, session.precision):
            scalars = system.step(to_device(batch, session.device), update)
        session.step += 1
        system.num_steps = session.step
        session.ema.update(session.step)
        session.collect(scalars)
        due = session.step % log_every == 0
        bar.step(session.epoch, session.log_training() if due else None)

        overdue = minutes > 0 and time.monotonic() - session.last_save > 60 * minutes
        interrupted, save, limit_reached = session.processes.any(
            interrupts.requested, overdue and update.is_healthy, bool(session.limit())
        )
        if interrupted:
            handle_interrupt(session)
            raise interrupts.error
        if limit_reached:
            return
        if save:
            session.save("last")
    session.epoch += 1


def finish_epoch(session: Session, reason: str) -> str:
    """Evaluate, keep the best, adapt the learning rate, save; return the reason to stop."""
    training, is_best, names = session.config.training, False, ["last"]
    session.log_training()
    average_statistics(session)
    if reason or session.epoch % training.evaluate_every == 0:
        is_best, session.stopped = evaluate(session)
        reason = reason or session.stopped
    if training.save_every_epoch:
        names.insert(0, f"epoch_{session.epoch:03d}")
    if is_best:
        names.insert(0, "best")
    # After a failed step the last good checkpoint stays, unless these weights are the best.
    if session.update.is_healthy or is_best:
        session.save(*names)
    every = session.config.logging.sample_every
    if every and (reason or session.epoch % every == 0):
        draw_samples(session)
    session.write_summary(reason)
    call_hooks(session, is_best=is_best, reason=reason)
    return reason


def evaluate(session: Session) -> tuple[bool, str]:
    """Evaluate on validation data (and on training data, to detect overfitting).

    Returns:
        Whether this is the best so far, and the reason to stop early or an empty string.
    """
    system, stopping = session.system, session.stopping
    values = session.measure("val")
    if not values:
        # Without a metric the newest weights count as the best.
        return True, ""
    if system.monitor not in values:
        raise UserError(
            f"{system.name} monitors {system.monitor}, but its evaluation gives only "
            f"{', '.join(values)}"
        )
    if stopping.watches_overfitting and "val/loss" in values:
        values |= session.measure("train")
        if "train_eval/loss" in values:
            gap = values["train_eval/loss"] - values["val/loss"]
            values["overfitting_gap"] = gap / system.loss_values
    session.log(values)
    logger.info(
        "epoch %d: %s",
        session.epoch,
        ", ".join(f"{name} {value:.4g}" for name, value in values.items()),
    )
    value = values[system.monitor]
    best = session.best
    if best is not None and best["monitor"] != system.monitor:
        best = None  # the next stage of a system that trains in stages
    is_best = is_better(value, best, system.monitor_mode)
    if is_best:
        session.best = {
            "value": value,
            "monitor": system.monitor,
            "epoch": session.epoch,
            "step": session.step,
            "metrics": values,
        }
    if session.schedule.on_evaluation(value):
        logger.info("no improvement: learning rate times %g", session.schedule.config.factor)
    stop_reason = stopping.on_evaluation(value, values.get("overfitting_gap"))
    return is_best, stop_reason


def is_better(value: float, best: dict[str, Any] | None, mode: str) -> bool:
    """Whether a value is better than the best so far; never for nan."""
    if math.isnan(value):
        return False
    return best is None or (value < best["value"] if mode == "min" else value > best["value"])


def average_statistics(session: Session) -> None:
    """Average running statistics over all processes, so that all evaluate the same networks."""
    session.processes.average_(
        [
            buffer
            for network in session.networks.values()
            for buffer in network.buffers()
            if buffer.is_floating_point()
        ]
    )


def draw_samples(session: Session) -> None:
    """Write samples of the current weights."""
    processes = session.processes
    # Where parameters are sharded, all take part in making them whole.
    if session.config.logging.sample_every and (processes.is_main or processes.shards):
        with session.evaluation("sample"):
            if processes.is_main:
                session.system.sample(session.run.samples, session.step)
    session.processes.barrier()


def call_hooks(session: Session, *, is_best: bool, reason: str) -> None:
    """Call the hooks of the system after an epoch and at the end of training."""
    processes = session.processes
    if session.system.hooks and (processes.is_main or processes.shards):
        context = session.context(is_best=is_best, reason=reason)
        with session.evaluation("hooks"):
            for hook in session.system.hooks if processes.is_main else ():
                hook.on_epoch_end(context)
                if reason:
                    hook.on_end(context)
    session.processes.barrier()


def log_summary(session: Session, reason: str) -> None:
    """Log the best result and write the model card."""
    if session.processes.is_main:
        best = session.best
        weights = f"best {describe_best(best)}, in" if best else "last weights in"
        logger.log(NOTICE, "finished: %s; %s %s", reason, weights, session.run.checkpoint("best"))
        session.run.write_model_card(session.system.name, session.metrics, best, reason)


def describe_best(best: Mapping[str, Any]) -> str:
    """The best value of the monitored number and its epoch."""
    return f"{best['monitor']} {best['value']:.6g} after epoch {best['epoch']}"


def handle_interrupt(session: Session) -> None:
    """Save, and log the command that resumes."""
    if session.update.is_healthy:
        session.save("last")
    if session.processes.is_main:
        logger.warning("stopped at step %d; to go on: %s", session.step, resume_command(session))


def resume_command(session: Session) -> str:
    """The command that resumes this run."""
    count = session.processes.count
    program = "triform" if count == 1 else f"torchrun --nproc_per_node {count} -m triform"
    path = shlex.quote(str(session.run.path))
    return f"{program} {session.system.name} train --resume_from {path}"


@contextmanager
def user_errors(session: Session) -> Iterator[None]:
    """Turn non-finite gradients and lack of memory into one line with advice."""
    try:
        yield
    except NonFiniteError as error:
        last, lr = session.run.checkpoint("last"), session.config.training.lr
        checkpoint = f"the last good checkpoint is {last}; " if last.is_file() else ""
        raise UserError(
            f"stopped at step {session.step}: {error}; {checkpoint}"
            f"try --lr {lr / 10:g}, --grad_clip 1 or --precision float32"
        ) from error
    except (RuntimeError, MemoryError) as error:
        reasons = [reason for sign, reason in REFUSALS.items() if sign in str(error)]
        if session.processes.shards and reasons:
            raise UserError(
                f"--fsdp: {session.system.name} {reasons[0]}, where each process has only a slice "
                "of each parameter; train without it"
            ) from error
        if not is_out_of_memory(error):
            raise
        raise UserError(memory_advice(session.config, session.device)) from error
