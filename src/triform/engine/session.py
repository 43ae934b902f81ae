"""State of a training run: its parts, its directory, saving and resuming."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from triform.base.errors import UserError
from triform.base.logging import NOTICE, add_log_file, get_logger, remove_log_file
from triform.base.seeding import hash_seed, random_state, seed_everything, set_random_state
from triform.engine.checkpoints import checkpoint
from triform.engine.checkpoints.building import compare_tensors
from triform.engine.device import NumberFormat, autocast, describe_device, pick_device
from triform.engine.diagnostics.step_time import choose_precision, initial_precision, is_measured
from triform.engine.early_stopping import EarlyStopping, patience_warning
from triform.engine.ema import ExponentialMovingAverage
from triform.engine.machine import describe_machine
from triform.engine.processes import Processes, replaced_networks
from triform.engine.protocol import Context, Scalars, System
from triform.engine.resume import (
    check_resumable,
    load_optimizer,
    mismatch_errors,
    restore_random_state,
    resume_point,
    trains_other_parameters,
)
from triform.engine.runs.run import Run, new_run
from triform.engine.runs.tracking import JsonLines, TensorBoard, Tracker, Wandb
from triform.engine.schedule import Schedule
from triform.engine.sharding import gather_parameters, gathered, load_network, unsharded
from triform.engine.update import Update

logger = get_logger(__name__)


class Session:
    """A training run: progress, schedule, EMA, trackers and run directory.

    Attributes:
        step: Steps done.
        epoch: Epochs done.
        best: Best value of the monitored metric, with its epoch and step; or None.
        precision: Number format of the forward pass.
        precision_is_open: Whether a measurement has to choose it before the first step.
        starts_from_best: Whether the initial weights are the best ones of another run.
        metrics: Last value of every metric.
        stopped: Reason of early stopping; empty otherwise.
    """

    def __init__(self, system: System[Any]):
        config = system.config
        self.system, self.config, training = system, config, config.training
        if training.num_threads:
            torch.set_num_threads(training.num_threads)
        # Same seed, same run: also on a GPU, where the fastest kernels differ from call to call.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.processes = Processes(pick_device(config.device), fsdp=training.fsdp)
        self.device = self.processes.device
        self.step, self.epoch, self.stopped = 0, 0, ""
        self.best: dict[str, Any] | None = None
        self.starts_from_best = False
        self.metrics: dict[str, float] = {}
        self._pending: dict[str, list[Any]] = defaultdict(list)
        self._trackers: list[Tracker] = []
        self.seconds_before = 0.0
        state = self._find_run()
        self.precision = initial_precision(training, self.device, state)
        self.precision_is_open = state is None and is_measured(training, self.device)
        self._set_up()
        if state is not None:
            try:
                self.load_state_dict(state)
            except UserError:
                with suppress(OSError):  # a folder made for this run is empty; others stay
                    self.run.path.rmdir()
                raise
        self._started = self.last_save = self._last_log = time.monotonic()
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
            steps = f"{self.total_steps} steps" if self.total_steps else "steps not known yet"
            logger.log(NOTICE, "run: %s; %s", self.run.path, steps)
            logger.info(
                "device: %s; %s; %d process(es)",
                describe_device(self.device),
                "precision by measurement" if self.precision_is_open else self.precision,
                self.processes.count,
            )
            warning = patience_warning(self.config.scheduler, self.config.early_stopping)
            if warning:
                logger.warning("%s", warning)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Close the run's files and restore the system's own networks."""
        self.system.networks.update(self.networks)
        if self.processes.shards and error is None:
            gather_parameters(self.networks)
        if self.processes.is_main:
            if error is not None:
                logger.debug("ended by %s", type(error).__name__, exc_info=error)
            for tracker in self._trackers:
                tracker.close()
            remove_log_file(self._log_file)

    def settle_precision(self) -> None:
        """Measure which precision is faster, where that is open; nothing else changes."""
        if self.precision_is_open:
            arguments = self.system, self.networks, self._make_update, self.processes
            self.precision, self.precision_is_open = choose_precision(*arguments), False
            self.update = self._make_update(self.precision)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run; 0 if unknown."""
        training, batches = self.config.training, self.system.num_batches
        total = training.epochs * batches if batches else 0
        limits = [limit for limit in (total, training.max_steps) if limit]
        return min(limits, default=0)

    @property
    def minutes(self) -> float:
        """Minutes of training, those before a resume included."""
        return (self.seconds_before + time.monotonic() - self._started) / 60

    def limit(self) -> str:
        """The limit of the settings that is reached; empty if none is."""
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
        """Context for evaluation: EMA weights, evaluation mode, no gradients, own random state.

        Everything is restored afterwards.
        """
        random = random_state()
        seed_everything(hash_seed(self.config.seed, *purpose))
        self._set_mode(training=False)
        try:
            with (
                replaced_networks(self.system.networks, self.networks),
                self.ema.swapped_in(),
                unsharded(self.networks),
                torch.no_grad(),
                autocast(self.device, self.precision),
            ):
                yield
        finally:
            self._set_mode(training=True)
            set_random_state(random)

    def measure(self, split: str) -> dict[str, float]:
        """Evaluate one split; the metrics are the same on every process."""
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
        """Collect the values of a step; their mean is logged."""
        for name, value in scalars.items():
            # Not yet a float: reading a tensor would synchronise the GPU at every step.
            self._pending[name].append(value.detach() if isinstance(value, torch.Tensor) else value)

    def log_training(self) -> dict[str, float]:
        """Log the mean of the values collected since the last time; returns it."""
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
        """Log values to every tracker."""
        self.metrics.update(values)
        for tracker in self._trackers:
            tracker.log(self.step, self.epoch, values)

    def save(self, *names: str) -> None:
        """Write checkpoints; `last` is written last, so that a kill in between loses nothing."""
        self.last_save = time.monotonic()
        random_states = self.processes.gather(random_state())
        if self.processes.is_main or self.processes.shards:
            targets = [file for name in names for file in self.run.checkpoint_files(name)]
            state = self.state_dict(random_states)
            with gathered(state, targets[0].parent, keep=self.processes.is_main) as whole:
                if self.processes.is_main:
                    checkpoint.save_as(targets, whole)
            logger.debug("saved %s at step %d", ", ".join(names), self.step)
        self.processes.barrier()

    def state_dict(self, random_states: list[dict[str, Any]]) -> checkpoint.State:
        """The contents of a checkpoint.

        Args:
            random_states: Of all processes.
        """
        system = self.system
        return {
            "system": system.name,
            "config": self.config.model_dump(mode="json"),
            "metadata": system.metadata(),
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "ema": self.ema.state_dict(),
            "optimizers": {name: opt.state_dict() for name, opt in system.optimizers.items()},
            "stateful": {name: part.state_dict() for name, part in system.stateful_parts().items()},
            "schedule": self.schedule.state_dict(),
            "stopping": self.stopping.state_dict(),
            "update": self.update.state_dict(),
            "precision": self.precision,
            "random": random_states,
            "step": self.step,
            "epoch": self.epoch,
            "best": self.best,
            "metrics": self.metrics,
            "stopped": self.stopped,
            "seconds": self.minutes * 60,
        }

    def load_state_dict(self, state: checkpoint.State) -> None:
        """Restore the state of a checkpoint.

        Raises:
            UserError: It is another system's, or does not fit.
        """
        system = self.system
        source = self.config.training.resume_from
        changes = check_resumable(state, system, self.config)
        with mismatch_errors(source, changes):
            begins_anew = trains_other_parameters(state, system)
            weights = checkpoint.best_weights(state) if begins_anew else state["networks"]
            optional = system.pretrained if begins_anew else ()
            for name, network in self.networks.items():
                compare_tensors(name, network, weights[name], optional)
            for name, network in self.networks.items():
                load_network(network, weights[name], strict=False)
            if begins_anew:
                self._begin_anew(state)
                return
            for name, optimizer in system.optimizers.items():
                load_optimizer(optimizer, state["optimizers"][name])
            for name, part in system.stateful_parts().items():
                part.load_state_dict(state["stateful"][name])
            self.ema.load_state_dict(state["ema"])
            self.schedule.load_state_dict(state["schedule"])
            self.stopping.load_state_dict(state["stopping"])
            self.update.load_state_dict(state["update"])
            self.step, self.epoch, self.best = state["step"], state["epoch"], state["best"]
            system.num_steps = self.step
            self.metrics, self.seconds_before = dict(state["metrics"]), state["seconds"]
            # Changed settings of early stopping ask for another decision.
            decide_anew = any(name.startswith("early_stopping.") for name in changes)
            self.stopped = "" if decide_anew else state["stopped"]
            restore_random_state(state["random"], self.processes, self.config.seed, self.step)

    def _begin_anew(self, state: checkpoint.State) -> None:
        """Keep only weights and the best value of a checkpoint: other parameters are trained."""
        logger.warning(
            "other parameters are trained than in %s: weights and best value are taken from it; "
            "optimizer, learning rates, epochs and early stopping begin anew",
            self.config.training.resume_from,
        )
        self.ema = ExponentialMovingAverage(self.networks, self.config.training.ema_decay)
        if state["best"]:
            self.starts_from_best = state["best"]["step"] == state["step"]
            self.best = {**state["best"], "epoch": 0, "step": 0}

    def write_summary(self, reason: str) -> None:
        """Write best and last metrics and the reason of the end, for `triform runs`."""
        if not self.processes.is_main:
            return
        best = self.best and {**self.best, "metrics": _finite(self.best.get("metrics", {}))}
        self.run.write_summary(
            {
                "system": self.system.name,
                "epoch": self.epoch,
                "step": self.step,
                "best": best,
                "metrics": _finite(self.metrics),
                "minutes": round(self.minutes, 3),
                "reason": reason,
            }
        )

    def context(self, *, is_best: bool = False, reason: str = "") -> Context:
        """Progress of the run, for hooks."""
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
        """Choose the run directory; returns the state to resume from, if any."""
        source, state, path = self.config.training.resume_from, None, None
        if source is not None:
            path, file = resume_point(Path(source), self.config)
            state = checkpoint.load(file, mmap=self.processes.shards) if file is not None else None
            if state is not None and trains_other_parameters(state, self.system):
                path = None  # the run of the checkpoint stays as it is
        if path is None and self.processes.is_main:
            path = new_run(self.config, self.system.name).path
        self.run = Run(self.processes.gather(path)[0], self.config)
        return state

    def _set_up(self) -> None:
        """Move networks to the device and build schedule, EMA and update."""
        config, system = self.config, self.system
        seed_everything(hash_seed(config.seed, "fit", self.processes.index))
        for network in (*system.networks.values(), *system.frozen.values()):
            network.to(self.device)
        for network in system.frozen.values():
            network.requires_grad_(False)
        self.networks = dict(system.networks)
        system.networks.update(self.processes.prepare(self.networks, system))
        self.schedule = Schedule(
            config.scheduler,
            warmup_steps=config.training.warmup_steps,
            total_steps=self.total_steps,
            epochs=config.training.epochs,
            mode=system.monitor_mode,
        )
        self.stopping = EarlyStopping(config.early_stopping, system.monitor_mode)
        self.ema = ExponentialMovingAverage(self.networks, config.training.ema_decay)
        self.update = self._make_update(self.precision)
        self._set_mode(training=True)

    def _make_update(self, precision: NumberFormat) -> Update:
        networks, optimizers = self.networks, self.system.optimizers
        training, processes = self.config.training, self.processes
        return Update(networks, optimizers, self.schedule, training, precision, processes)

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


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics for JSON, which has no infinity and no nan."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _finite_mean(values: list[Any]) -> float:
    """Mean of the finite values; nan if there are none."""
    finite = [number for number in map(float, values) if math.isfinite(number)]
    return sum(finite) / len(finite) if finite else math.nan
