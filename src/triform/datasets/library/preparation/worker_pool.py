"""Worker processes with a limit on time and memory, of which any may die without stopping the rest.

A bad mesh can hang a reader, take all memory or crash a compiled library. Each worker is therefore
one process of loky behind a thread that watches its time and memory; when the process dies or is
killed, only its current task is lost, and the next task gets a fresh process. The threads are
joblib's, or, on a cluster, joblib's Ray actors, each with one such process.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import psutil
from tqdm import tqdm

from triform.base.logging import set_up_console
from triform.datasets.library.preparation.cluster import join_cluster

Task = TypeVar("Task")
Result = TypeVar("Result")
Value = TypeVar("Value")

# Seconds between two checks of a worker's time and memory.
_POLL_INTERVAL = 0.2
# Environment of a worker, set before the libraries that read it are imported: one thread each, and
# no traceback of a crash (the variable has to be set, and empty), since the parent reports it.
_ENVIRONMENT = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
_ENVIRONMENT |= {"VECLIB_MAXIMUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
_PID_FILE = "pid"
# Tasks per worker that are sent to a cluster at a time.
_TASKS_PER_WORKER = 16


class WorkerDied(Exception):
    """A worker process died, or was killed for its time or memory; the text says why."""


class PoolStopped(Exception):
    """The results are not needed any more."""


@dataclass(frozen=True)
class Job(Generic[Task, Result]):
    """A function to call for many tasks, and its limits.

    Attributes:
        function: importable by name.
        on_failure: the result of a task whose worker died, from the task and the reason.
        timeout: seconds per task.
        max_bytes: memory that a worker may use; 0 for its share of the machine.
        warm_up: called once in each new process, before its time counts.
    """

    function: Callable[[Task], Result]
    on_failure: Callable[[Task, str], Result]
    timeout: float = math.inf
    max_bytes: float = 0.0
    warm_up: Callable[[], object] = bool

    def sized(self, workers: int) -> Job[Task, Result]:
        """The same job with a memory limit: four fifths of this machine, shared by workers."""
        share = 0.8 * psutil.virtual_memory().total / workers
        return self if self.max_bytes else replace(self, max_bytes=share)


class Worker:
    """One process that runs one task at a time."""

    def __init__(self) -> None:
        """Nothing is started before the first task."""
        self._executor: Executor | None = None
        # Holds a file with the number of the process: loky replaces one that has grown a lot.
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def run(
        self, job: Job[Task, Result], task: Task, is_stopped: Callable[[], bool] = bool
    ) -> Result:
        """Result of one task, or the job's result for a failure.

        Args:
            job: function and limits.
            task: argument of the function.
            is_stopped: polled; when true the process is killed.

        Raises:
            PoolStopped: `is_stopped` was true.
        """
        try:
            return self.call(job, task, is_stopped)
        except WorkerDied as error:
            return job.on_failure(task, str(error))

    def call(
        self, job: Job[Task, Result], task: Task, is_stopped: Callable[[], bool] = bool
    ) -> Result:
        """As `run`, but a failure is raised.

        Raises:
            WorkerDied: the process died, or was killed for its time or memory.
            PoolStopped: `is_stopped` was true.
        """
        from joblib.externals.loky import BrokenProcessPool

        try:
            if self._executor is None:
                # A slow start is not the fault of the task.
                self._wait(self._start().submit(job.warm_up), math.inf, math.inf, is_stopped)
            assert self._executor is not None
            future = self._executor.submit(job.function, task)
            return self._wait(future, job.timeout, job.max_bytes or math.inf, is_stopped)
        except BrokenProcessPool as error:
            self.close()
            raise WorkerDied(f"the process that worked on it died{_exit_code(error)}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the process, whatever it is doing."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
        if self._folder is not None:
            self._folder.cleanup()

    def _start(self) -> Executor:
        from joblib.externals.loky import ProcessPoolExecutor

        self._folder = tempfile.TemporaryDirectory(prefix="triform-worker-")
        executor: Executor = ProcessPoolExecutor(
            1,
            env=_ENVIRONMENT,
            initializer=_initialize,
            initargs=(os.getpid(), Path(self._folder.name, _PID_FILE)),
        )
        self._executor = executor
        return executor

    def _wait(
        self,
        future: Future[Value],
        timeout: float,
        max_bytes: float,
        is_stopped: Callable[[], bool],
    ) -> Value:
        """Result of a future, as long as the process keeps to its limits."""
        end = time.monotonic() + timeout
        while True:
            wait([future], timeout=_POLL_INTERVAL)
            if future.done():
                return future.result()
            if is_stopped():
                raise PoolStopped
            if time.monotonic() > end:
                raise WorkerDied(f"took longer than {timeout:g} seconds (--timeout)")
            if self._memory() > max_bytes:
                gibibytes = max_bytes / 2**30
                raise WorkerDied(f"needed more than {gibibytes:.1f} GiB of memory (--max_memory)")

    def _memory(self) -> int:
        """Resident memory of the process in bytes."""
        assert self._folder is not None
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            pid = int(Path(self._folder.name, _PID_FILE).read_text())
            return int(psutil.Process(pid).memory_info().rss)
        return 0


class WorkerPool:
    """Several workers; results are yielded as they are ready, in any order.

    Attributes:
        count: number of workers.
        cluster: address of the Ray cluster, or "".
    """

    def __init__(self, count: int, cluster: str = "") -> None:
        """Choose the number of workers; no process is started yet.

        Args:
            count: number of workers; 0 takes one for each core.
            cluster: address of a Ray cluster, "auto" for the one that this machine belongs to.

        Raises:
            UserError: Ray is not installed, or there is no such cluster.
        """
        import joblib

        self._stop = threading.Event()
        self.cluster = cluster
        if cluster:
            cores = join_cluster(cluster)
            self.count = min(count or cores, cores)
        else:
            self.count = count or joblib.cpu_count()

    def map(self, job: Job[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Result of each task; closing the iterator kills the workers."""
        tasks = list(tasks)
        return self._map_on_cluster(job, tasks) if self.cluster else self._map_here(job, tasks)

    def _map_on_cluster(self, job: Job[Task, Result], tasks: Sequence[Task]) -> Iterator[Result]:
        from joblib import Parallel, delayed, parallel_config

        # A core each, or Ray may put them all on one machine.
        with parallel_config(backend="ray", n_jobs=self.count, ray_remote_args={"num_cpus": 1}):
            for start in range(0, len(tasks), _TASKS_PER_WORKER * self.count):
                batch = tasks[start : start + _TASKS_PER_WORKER * self.count]
                yield from Parallel(batch_size=1)(delayed(_run_in_actor)(job, t) for t in batch)

    def _map_here(self, job: Job[Task, Result], tasks: Sequence[Task]) -> Iterator[Result]:
        from joblib import Parallel, delayed

        job = job.sized(self.count)
        workers: list[Worker] = []
        local = threading.local()

        def run(task: Task) -> Result:
            if self._stop.is_set():
                raise PoolStopped
            if not hasattr(local, "worker"):
                local.worker = Worker()
                workers.append(local.worker)
            worker: Worker = local.worker
            return worker.run(job, task, self._stop.is_set)

        results = Parallel(
            self.count, backend="threading", return_as="generator_unordered", batch_size=1
        )(delayed(run)(task) for task in tasks)
        try:
            # Not `yield from`: that would close them first, and wait for what is under way.
            for result in results:  # noqa: UP028
                yield result
        finally:
            self._stop.set()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib reports how many tasks that ends
                results.close()
            for worker in workers:
                worker.close()


_ACTOR_WORKER = Worker()


def _run_in_actor(job: Job[Task, Result], task: Task) -> Result:
    """Run a task in this Ray actor's own worker process, on a node of the cluster."""
    return _ACTOR_WORKER.run(job.sized(os.cpu_count() or 1), task)


def _initialize(parent: int, pid_file: Path) -> None:
    """First call in a worker process: tell its number, ignore Ctrl-C, and exit with the parent."""
    pid_file.write_text(str(os.getpid()))
    set_up_console(logging.WARNING)
    # Warnings are written by tqdm, whose default lock is a semaphore that a killed process leaks.
    tqdm.set_lock(threading.RLock())
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_code(error: Exception) -> str:
    """How the process ended, if loky knows it: " (SIGSEGV)"."""
    match = re.search(r"exit codes of the workers are \{(\w+)", str(error))
    if match is None:
        return ""
    hint = ", perhaps for want of memory" if match[1] == "SIGKILL" else ""
    return f" ({match[1]}{hint})"


def _exit_with(parent: int) -> None:
    """Exit when the parent is gone, even if it was killed."""
    while os.getppid() == parent or os.name == "nt":
        time.sleep(1)
    os._exit(1)
