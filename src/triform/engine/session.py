"""Everything that a training run carries along, and how it is saved and brought back."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from triform.base.errors import UserError
from triform.base.logging import add_log_file, get_logger, remove_log_file
from triform.base.seeding import hash_seed, random_state, seed_everything, set_random_state
from triform.engine import checkpoint
from triform.engine.config import SystemConfig
from triform.engine.device import autocast, describe_device, pick_device, pick_precision
from triform.engine.early_stopping import EarlyStopping, patience_warning
from triform.engine.ema import MovingAverage
from triform.engine.machine import describe_machine
from triform.engine.processes import Processes, networks_as
from triform.engine.protocol import Context, Scalars, System
from triform.engine.resume import collect_state, restore_state, resume_point
from triform.engine.run import Run, new_run
from triform.engine.schedule import Schedule
from triform.engine.tracking import JsonLines, TensorBoard, Tracker, Wandb
from triform.engine.update import Update

logger = get_logger(__name__)


class Session:
    """A run while it trains: its place in time, its tools, its folder.

    Attributes:
        step: Steps done.
        epoch: Epochs done.
        best: Best value of the monitored number so far, with its epoch and step; or None.
        metrics: Newest value of every number.
        stopped: Why training was stopped early; empty otherwise.
    """

    def __init__(self, system: System, config: SystemConfig):
        self.system, self.config, training = system, config, config.training
        if training.num_threads:
            torch.set_num_threads(training.num_threads)
        # Same seed, same run: also on a GPU, where the fastest kernels differ from call to call.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.processes = Processes(pick_device(config.device))
        self.device = self.processes.device
        self.precision = pick_precision(training, self.device)
        self.step, self.epoch, self.stopped = 0, 0, ""
        self.best: dict[str, Any] | None = None
        self.metrics: dict[str, float] = {}
        self._pending: dict[str, list[Any]] = defaultdict(list)
        self._trackers: list[Tracker] = []
        self.seconds_before = 0.0
        state = self._find_run()
        self._prepare()
        if state is not None:
            try:
                restore_state(self, state)
            except UserError:
                with suppress(OSError):  # a folder made for this run is empty; others stay
                    self.run.path.rmdir()
                raise
        self._began = self.last_save = self._last_log = time.monotonic()
        self._last_logged_step = self.step

    def __enter__(self) -> "Session":
        """Open the run's files."""
        if self.processes.is_main:
            self.run.path.mkdir(parents=True, exist_ok=True)
            self._log_file = add_log_file(self.run.path / "training.log")
            self.run.write_config(self.config)
            self.run.write_environment(describe_machine())
            self.run.write_model_card(self.system.name, self.metrics, self.best, "")
            self._open_trackers()
            logger.info("run: %s", self.run.path)
            logger.info(
                "device: %s; %s; %d process(es)",
                describe_device(self.device),
                self.precision,
                self.processes.count,
            )
            warning = patience_warning(self.config.scheduler, self.config.early_stopping)
            if warning:
                logger.warning("%s", warning)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the run's files; the system gets its own networks back."""
        self.system.networks.update(self.networks)
        if self.processes.is_main:
            if error is not None:
                logger.debug("ended by %s", kind.__name__ if kind else "", exc_info=error)
            for tracker in self._trackers:
                tracker.close()
            remove_log_file(self._log_file)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run; 0 where nobody can say."""
        training, batches = self.config.training, self.system.num_batches
        total = training.epochs * batches if batches else 0
        limits = [limit for limit in (total, training.max_steps) if limit]
        return min(limits, default=0)

    @property
    def minutes(self) -> float:
        """Minutes of training, those before a resume included."""
        return (self.seconds_before + time.monotonic() - self._began) / 60

    def limit(self) -> str:
        """Which limit of the settings is reached; empty while there is none."""
        training = self.config.training
        if self.epoch >= training.epochs:
            return f"{self.epoch} of {training.epochs} epochs done"
        if training.max_steps and self.step >= training.max_steps:
            return f"{self.step} of {training.max_steps} steps done"
        if training.max_minutes and self.minutes >= training.max_minutes:
            return f"{training.max_minutes:g} minutes are over"
        return ""

    @contextmanager
    def evaluation(self, *purpose: str | int) -> Iterator[None]:
        """Averaged weights, evaluation mode, no gradients, and random numbers of its own.

        Training goes on afterwards as if nothing had happened.
        """
        random = random_state()
        seed_everything(hash_seed(self.config.seed, *purpose))
        self._set_mode(training=False)
        try:
            with (
                networks_as(self.system.networks, self.networks),
                self.average.in_place(),
                torch.no_grad(),
                autocast(self.device, self.precision),
            ):
                yield
        finally:
            self._set_mode(training=True)
            set_random_state(random)

    def measure(self, split: str) -> dict[str, float]:
        """Numbers of one split, the same on every process."""
        with self.evaluation("evaluate", split):
            values = self.system.evaluate(split)
        prefix = "train_eval" if split == "train" else split
        return self.processes.average_scalars(
            {
                name if "/" in name else f"{prefix}/{name}": float(value)
                for name, value in values.items()
            }
        )

    def collect(self, scalars: Scalars) -> None:
        """Keep the numbers of a step; they are averaged when they are logged."""
        for name, value in scalars.items():
            # Not yet a float: reading a tensor would make the GPU wait for every step.
            self._pending[name].append(value.detach() if isinstance(value, torch.Tensor) else value)

    def log_training(self) -> dict[str, float]:
        """Log the mean of the numbers collected since the last time; returns them."""
        means = {name: _finite_mean(values) for name, values in self._pending.items()}
        self._pending.clear()
        means = self.processes.average_scalars(means)
        now, steps = time.monotonic(), self.step - self._last_logged_step
        speed = steps / max(1e-9, now - self._last_log)
        self._last_log, self._last_logged_step = now, self.step
        if steps:
            self.log(
                {
                    **{f"train/{name}": value for name, value in means.items()},
                    **{f"learning_rate/{n}": rate for n, rate in self.update.rates().items()},
                    **{f"grad_norm/{n}": norm for n, norm in self.update.norms.items()},
                    "skipped_steps": self.update.num_skipped,
                    "steps_per_second": speed,
                }
            )
        return means

    def log(self, values: Mapping[str, float]) -> None:
        """Give numbers to every tracker."""
        self.metrics.update(values)
        for tracker in self._trackers:
            tracker.log(self.step, self.epoch, values)

    def save(self, *names: str) -> None:
        """Write checkpoints; `last` comes last, so that a kill in between loses nothing."""
        self.last_save = time.monotonic()
        random = self.processes.gather(random_state())
        if self.processes.is_main:
            targets = [self.run.checkpoint(name) for name in names]
            if "best" in names and self.config.training.checkpoint:
                targets.insert(0, Path(self.config.training.checkpoint))
            checkpoint.save(targets[0], collect_state(self, random))
            for target in targets[1:]:
                checkpoint.copy(targets[0], target)
            logger.debug("saved %s at step %d", ", ".join(names), self.step)
        self.processes.wait()

    def write_summary(self, reason: str) -> None:
        """Write what the run has come to, for people and for `triform runs`."""
        if not self.processes.is_main:
            return
        metrics = {
            name: value if math.isfinite(value) else None for name, value in self.metrics.items()
        }
        self.run.write_summary(
            {
                "system": self.system.name,
                "epoch": self.epoch,
                "step": self.step,
                "best": self.best,
                "metrics": metrics,
                "minutes": round(self.minutes, 3),
                "reason": reason,
            }
        )

    def context(self, *, is_best: bool = False, reason: str = "") -> Context:
        """Where the run stands, for hooks."""
        return Context(
            self.system,
            self.run.path,
            self.run.checkpoint_dir,
            self.step,
            self.epoch,
            dict(self.metrics),
            is_best,
            reason,
        )

    def _find_run(self) -> checkpoint.State | None:
        """Choose the run directory; returns the state to go on from, if there is one."""
        source, state, path = self.config.training.resume_from, None, None
        if source is not None:
            path, file = resume_point(Path(source), self.config)
            state = checkpoint.load(file) if file is not None else None
        if path is None and self.processes.is_main:
            path = new_run(self.config, self.system.name).path
        self.run = Run(self.processes.gather(path)[0], self.config)
        return state

    def _prepare(self) -> None:
        """Bring networks to the device and make the tools."""
        config, system = self.config, self.system
        seed_everything(hash_seed(config.seed, "fit", self.processes.index))
        for network in (*system.networks.values(), *system.frozen.values()):
            network.to(self.device)
        for network in system.frozen.values():
            network.requires_grad_(False)
        self.networks = dict(system.networks)
        system.networks.update(self.processes.prepare(self.networks))
        self.schedule = Schedule(
            config.scheduler,
            warmup_steps=config.training.warmup_steps,
            total_steps=self.total_steps,
            epochs=config.training.epochs,
            mode=system.monitor_mode,
        )
        self.stopping = EarlyStopping(config.early_stopping, system.monitor_mode)
        self.average = MovingAverage(self.networks, config.training.ema_decay)
        self.update = Update(
            self.networks,
            system.optimizers,
            self.schedule,
            config.training,
            self.precision,
            self.processes,
        )
        self._set_mode(training=True)

    def _set_mode(self, *, training: bool) -> None:
        for network in self.system.networks.values():
            network.train(training)
        for network in self.system.frozen.values():
            network.eval()

    def _open_trackers(self) -> None:
        logging, path = self.config.logging, self.run.path
        self._trackers = [JsonLines(path / "metrics.jsonl", self.step)]
        if logging.tensorboard:
            folder = Path(logging.tensorboard_dir) / self.system.name / path.name
            self._trackers.append(TensorBoard(folder, self.step))
        if logging.use_wandb:
            self._trackers.append(Wandb(logging, path, self.config.model_dump(mode="json")))


def _finite_mean(values: list[Any]) -> float:
    """Mean of the finite ones among floats and tensors; nan where there are none."""
    finite = [number for number in map(float, values) if math.isfinite(number)]
    return sum(finite) / len(finite) if finite else math.nan
