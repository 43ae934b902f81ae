"""The job service: a bounded, fair queue before one worker, and another for trainings.

A job is a verb of a system with its settings. It has a place in the queue and an estimate by the
times that such jobs took; it can be stopped at any moment; its result is a folder that outlives
the server. No web framework is known here.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.web.config import LimitsConfig
from triform.web.durations import Durations
from triform.web.record import Record
from triform.web.results import ResultStore, list_files
from triform.web.worker_process import PROGRAM, Event, Limits, Outcome, WorkerProcess

logger = get_logger(__name__)

MAX_MESSAGES = 20
WARM_UP = "warm up"
"""Id of the job that loads models; it has no result."""
TRAINING_GRACE = 120.0
"""Seconds in which a training that is stopped may finish its step and save."""


class Refused(UserError):
    """The queue takes no job now; the message says why."""


@dataclass
class Job:
    """A job that is not ended.

    Attributes:
        id: Its id.
        user: Who sent it; the queue is fair among users.
        message: What the worker is sent.
        key: System and verb.
        units: Its size.
        number: Order of arrival.
        stop: Set when it is to stop.
        progress: The last progress: `done`, `total`, `text`.
        messages: Its messages until now.
        started: When it began, by the monotonic clock.
    """

    id: str
    user: str
    message: Mapping[str, Any]
    key: str
    units: int
    number: int
    stop: threading.Event = field(default_factory=threading.Event)
    progress: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    started: float | None = None


class Lane:
    """One worker with the jobs that wait for it.

    Attributes:
        waiting: Jobs in order of arrival.
        running: The job that runs.
        served: User -> number of the last job of theirs that began; decides who is next.
    """

    def __init__(self, worker: WorkerProcess):
        self.worker = worker
        self.waiting: list[Job] = []
        self.running: Job | None = None
        self.served: dict[str, int] = {}
        self.turns = 0

    def order(self) -> list[Job]:
        """Waiting jobs in the order in which they will run: users take turns."""
        served, waiting, ordered = dict(self.served), list(self.waiting), []
        for turn in range(len(waiting)):
            job = min(waiting, key=lambda job: (served.get(job.user, -1), job.number))
            waiting.remove(job)
            ordered.append(job)
            served[job.user] = self.turns + turn
        return ordered

    def take(self) -> Job:
        """Take the next job out of the queue."""
        job = self.order()[0]
        self.waiting.remove(job)
        self.served[job.user] = self.turns
        self.turns += 1
        self.running = job
        return job


class JobService:
    """Takes jobs, runs them, and keeps their results.

    Args:
        store: The results.
        limits: Limits of the queue and of a job.
        program: Arguments of Python that start a worker.
        runs: Folder of the training runs, which workers find as `runs`.
    """

    def __init__(
        self,
        store: ResultStore,
        limits: LimitsConfig,
        program: Sequence[str] = PROGRAM,
        *,
        runs: Path | None = None,
    ):
        self.store, self.limits = store, limits
        self.durations = Durations(store.all())
        self._warm_up: Mapping[str, Any] | None = None
        self._warm_up_file = store.root / ".warm-up-seconds"
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False
        self._lanes: dict[str, Lane] = {}
        self._jobs: dict[str, Job] = {}
        self._threads = []
        for name in ("quick", "training"):
            log = store.root / f".worker-{name}.log"
            worker = WorkerProcess(store.root / f".work-{name}", log, program, runs=runs)
            self._lanes[name] = Lane(worker)
            thread = threading.Thread(target=self._serve, args=(name,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(
        self, message: Mapping[str, Any], record: Record, user: str, *, training: bool = False
    ) -> Record:
        """Put a job into the queue.

        Args:
            message: What the worker is sent besides the id of the job.
            record: Its record, just created.
            user: Who sent it.
            training: Whether it is a training, which has its own worker.

        Raises:
            Refused: The queue is full, or that of the user; the record is deleted then.
        """
        lane = self._lanes["training" if training else "quick"]
        with self._changed:
            reason = self._refusal(lane, user)
            if not reason:
                key = f"{record.system} {record.verb}"
                job = Job(
                    id=record.id,
                    user=user,
                    message={**message, "job": record.id},
                    key=key,
                    units=record.units,
                    number=self._count,
                )
                self._count += 1
                self._jobs[job.id] = job
                lane.waiting.append(job)
                self._changed.notify_all()
        if reason:
            self.store.update(record.id, state="failed", error=reason)
            self.store.delete(record.id)
            raise Refused(reason)
        return record

    def _refusal(self, lane: Lane, user: str) -> str:
        """Why no job of a user is taken now; empty if it is."""
        if self._closed:
            return "the server is ending"
        if len(lane.waiting) >= self.limits.max_waiting:
            return f"{len(lane.waiting)} jobs wait already; try again when some are done"
        if sum(job.user == user for job in lane.waiting) >= self.limits.max_waiting_per_user:
            count = self.limits.max_waiting_per_user
            return f"{count} jobs of yours wait already; stop one, or try again when one is done"
        free = shutil.disk_usage(self.store.root).free / 1e9
        if free < self.limits.min_free_gb:
            return f"only {free:.1f} GB are free on the disk of the results; delete some"
        return ""

    def status(self, name: str) -> dict[str, Any]:
        """Place, progress and estimates of a job; empty once it is ended.

        Returns:
            `position` (0 runs, 1 is next), `wait_seconds` until it begins and `seconds_left` until
            it ends, both None if such a job was never measured, `elapsed`, `progress`,
            `messages`, `stopping`.
        """
        with self._changed:
            job = self._jobs.get(name)
            if job is None:
                return {}
            lane = next(
                lane for lane in self._lanes.values() if job in lane.waiting or job is lane.running
            )
            order = lane.order()
            position = 0 if job is lane.running else order.index(job) + 1
            before = order[: position - 1] if position else []
            now = time.monotonic()
            wait: float | None = 0.0
            if position:
                first = [self._left(lane.running, now)] if lane.running else []
                wait = _sum([*first, *(self._left(each, now) for each in before)])
            return {
                "position": position,
                "wait_seconds": wait,
                "seconds_left": _sum([wait, self._left(job, now)]),
                "elapsed": 0.0 if job.started is None else now - job.started,
                "progress": dict(job.progress),
                "messages": list(job.messages),
                "stopping": job.stop.is_set(),
            }

    def _left(self, job: Job, now: float) -> float | None:
        """Seconds until a job ends once it runs, by its progress or by former jobs."""
        elapsed = 0.0 if job.started is None else now - job.started
        done, total = job.progress.get("done"), job.progress.get("total")
        if job.started is not None and done and total:
            return max(0.0, elapsed / float(done) * (float(total) - float(done)))
        expected = self.durations.estimate(job.key, job.units)
        return None if expected is None else max(0.0, expected - elapsed)

    def queue(self) -> list[str]:
        """Ids of the jobs that are not ended, those that run first."""
        with self._changed:
            lanes = self._lanes.values()
            names = [lane.running.id for lane in lanes if lane.running]
            names += [job.id for lane in lanes for job in lane.order()]
            return [name for name in names if name != WARM_UP]

    def stop(self, name: str) -> bool:
        """Ask a job to stop; False if it is ended already."""
        with self._changed:
            job = self._jobs.get(name)
            if job is None:
                return False
            job.stop.set()
            for lane in self._lanes.values():
                if job in lane.waiting:
                    lane.waiting.remove(job)
                    del self._jobs[name]
                    self._changed.notify_all()
                    break
            else:
                return True
        if name != WARM_UP:
            self.store.update(name, state="stopped", finished=time.time())
        return True

    def stop_all(self, user: str | None = None) -> int:
        """Ask all jobs to stop, or all of a user; returns how many."""
        with self._changed:
            names = [job.id for job in self._jobs.values() if user in (None, job.user)]
        return sum(self.stop(name) for name in names)

    def wait(self, name: str, seconds: float) -> Record:
        """Wait until a job is ended, at most for some time; returns its record."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._jobs, seconds)
        return self.store.get(name)

    def warm_up(self, message: Mapping[str, Any]) -> None:
        """Let the worker load what a first job needs, without a result that is kept.

        The time that it takes is written down, so that the next server can say how long. It is
        done again where a worker had to be killed, unless a job waits.
        """
        self._warm_up = message
        lane = self._lanes["quick"]
        with contextlib.suppress(OSError, ValueError):
            self.durations.add(WARM_UP, float(self._warm_up_file.read_text()), 1)
        with self._changed:
            job = Job(WARM_UP, "", {**message, "job": WARM_UP}, WARM_UP, 1, -1)
            self._jobs[job.id] = job
            lane.waiting.append(job)
            self._changed.notify_all()

    def memory(self) -> int:
        """Memory of the workers in bytes."""
        return sum(lane.worker.memory() for lane in self._lanes.values())

    def close(self) -> None:
        """Stop all jobs and end the workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.stop_all()
        for thread in self._threads:
            thread.join(TRAINING_GRACE)

    def _serve(self, name: str) -> None:
        """Run the jobs of a lane until the service is closed."""
        lane = self._lanes[name]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: lane.waiting or self._closed)
                if not lane.waiting:
                    break
                job = lane.take()
                job.started = time.monotonic()
            try:
                self._run(lane, job, training=name == "training")
            except Exception:  # one job never ends the service
                logger.exception("job %s", job.id)
            with self._changed:
                lane.running = None
                self._jobs.pop(job.id, None)
                self._changed.notify_all()
            if name == "training":
                lane.worker.close()  # its memory is for others
        lane.worker.close()

    def _run(self, lane: Lane, job: Job, *, training: bool) -> None:
        has_result = job.id != WARM_UP
        if has_result:
            self.store.update(job.id, state="running", started=time.time())
        limits = Limits(
            seconds=None if training else 60 * self.limits.max_job_minutes,
            memory_bytes=1e9 * self.limits.max_memory_gb,
            **({"grace": TRAINING_GRACE, "kill_after": 2.0} if training else {}),
        )
        outcome = lane.worker.run(
            job.message, limits, stop=job.stop, on_event=lambda event: self._on_event(job, event)
        )
        if not has_result:
            if outcome.state == "done" and job.started is not None:
                with atomic_write(self._warm_up_file, "w") as file:
                    file.write(f"{time.monotonic() - job.started:.2f}")
            return
        self._keep(job, outcome)
        if not training and not lane.worker.is_alive:
            lane.worker.start()  # so that the next job does not wait for its start
            if self._warm_up is not None and not lane.waiting and not self._closed:
                self.warm_up(self._warm_up)

    def _on_event(self, job: Job, event: Event) -> None:
        """Progress, a message, or the run directory of a training."""
        match event.get("event"):
            case "progress":
                job.progress = {key: event.get(key) for key in ("done", "total", "text")}
            case "message":
                job.messages = [*job.messages, str(event.get("text"))][-MAX_MESSAGES:]
            case "run" if job.id in self._jobs:
                path = Path(str(event.get("path")))
                self.store.update(job.id, run=f"{path.parent.name}/{path.name}")

    def _keep(self, job: Job, outcome: Outcome) -> None:
        """Write the end of a job into its record."""
        record = self.store.get(job.id)
        finished = time.time()
        files = tuple(list_files(self.store.folder(job.id) / "files"))
        record = self.store.update(
            job.id,
            state=outcome.state,
            finished=finished,
            error=outcome.error,
            messages=tuple(job.messages),
            answer=outcome.result.get("answer"),
            files=files,
            thumbnail=(self.store.folder(job.id) / "thumbnail.webp").is_file(),
        )
        if outcome.state == "done" and record.seconds is not None:
            self.durations.add(job.key, record.seconds, job.units)


def _sum(parts: Sequence[float | None]) -> float | None:
    """The sum, or None if a part of it is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
