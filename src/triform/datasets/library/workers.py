"""Worker processes of which any may be lost without stopping the rest.

A mesh from a stranger can hang a reader, take all memory or crash a compiled library. Each worker
is therefore a process of its own behind a thread that watches its time and memory; when it dies or
is ended, only the object that it had is lost, and the next one gets a fresh process. The threads
are joblib's, or, on a cluster, joblib's Ray actors, each with one such process.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from typing import Any, TypeVar

import psutil

from triform.datasets.library.cluster import join_cluster

Given = TypeVar("Given")
Result = TypeVar("Result")

# Between two looks at a worker's time and memory, in seconds.
_LOOK = 0.2
# A worker that nobody asks for anything ends itself after so many seconds.
_IDLE = 120
# Of a worker; set before the libraries that read it are imported. One thread each, and no
# traceback of a crash (that word has to be there, and empty): the parent says in a line who died.
_ENVIRONMENT = {
    **dict.fromkeys(
        [
            "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS",
        ],
        "1",
    ),
    "PYTHONFAULTHANDLER": "",
}  # fmt: skip
# On a cluster, objects per worker that are handed out at a time.
_BATCH = 16


class Lost(Exception):
    """A worker did not come back; the text says why."""


class Stopped(Exception):
    """Somebody wants no more results."""


class Worker:
    """One process that works on one thing at a time."""

    def __init__(self) -> None:
        """No process is started before there is work."""
        self._pool: Any = None

    def run(
        self,
        function: Callable[[Given], Result],
        given: Given,
        timeout: float,
        max_bytes: float,
        stop: Callable[[], bool] = bool,
        first: Callable[[], object] = bool,
    ) -> Result:
        """Call a function in the process.

        Args:
            function: importable by name.
            given: its argument.
            timeout: seconds that it may take.
            max_bytes: memory that the process may need.
            stop: asked again and again whether to give up.
            first: called in a new process, which may take its time.

        Raises:
            Lost: the process died, or was ended for its time or memory.
            Stopped: `stop` said so; the process is ended.
        """
        from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

        try:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    1, timeout=_IDLE, env=_ENVIRONMENT, initializer=_begin, initargs=(os.getpid(),)
                )
                # Starting is no fault of the argument.
                self._wait(self._pool.submit(first), math.inf, math.inf, stop)
            return self._wait(self._pool.submit(function, given), timeout, max_bytes, stop)
        except BrokenProcessPool as error:
            self.close()
            raise Lost(f"the process that worked on it died{_exit_code(error)}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)

    def _wait(self, future: Any, timeout: float, max_bytes: float, stop: Callable[[], bool]) -> Any:
        """The result, while the process keeps to its limits."""
        end = time.monotonic() + timeout
        while True:
            wait([future], timeout=_LOOK)
            if future.done():
                return future.result()
            if stop():
                raise Stopped
            if time.monotonic() > end:
                raise Lost(f"took longer than {timeout:g} seconds (--timeout)")
            if self._memory() > max_bytes:
                raise Lost(f"needed more than {max_bytes / 2**30:.1f} GiB of memory (--max_memory)")

    def _memory(self) -> int:
        """Bytes that the process has in memory."""
        total = 0
        for pid in list(self._pool._processes or ()):
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total


class Crew:
    """Several workers; the results come as they are ready, in any order.

    Attributes:
        count: number of workers.
    """

    def __init__(self, count: int, cluster: str = "") -> None:
        """Take workers on.

        Args:
            count: how many; 0 takes one for each core.
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

    def map(
        self,
        function: Callable[[Given], Result],
        lost: Callable[[Given, str], Result],
        tasks: Iterable[Given],
        timeout: float,
        max_memory: float,
        first: Callable[[], object] = bool,
    ) -> Iterator[Result]:
        """Call a function for each of many tasks.

        Args:
            function: importable by name.
            lost: the result of a task whose worker did not come back, and why.
            tasks: consumed as workers become free.
            timeout: seconds for each.
            max_memory: GiB for each; 0 shares four fifths of a machine among its workers.
            first: called once by each worker before its time counts.
        """
        from joblib import Parallel, delayed

        tasks = list(tasks)
        if self.cluster:
            call = delayed(_supervise)
            import joblib

            # A core each, or Ray may put them all on one machine.
            with joblib.parallel_config(
                backend="ray", n_jobs=self.count, ray_remote_args={"num_cpus": 1}
            ):
                for start in range(0, len(tasks), _BATCH * self.count):
                    batch = tasks[start : start + _BATCH * self.count]
                    yield from Parallel(batch_size=1)(
                        call(function, lost, task, timeout, _bytes(max_memory, 0), first)
                        for task in batch
                    )
            return
        most = _bytes(max_memory, self.count)
        workers: list[Worker] = []
        own = threading.local()

        def supervise(task: Given) -> Result:
            if self._stop.is_set():
                raise Stopped
            if not hasattr(own, "worker"):
                own.worker = Worker()
                workers.append(own.worker)
            try:
                return own.worker.run(function, task, timeout, most, self._stop.is_set, first)
            except Lost as reason:
                return lost(task, str(reason))

        results = Parallel(
            self.count, backend="threading", return_as="generator_unordered", batch_size=1
        )(delayed(supervise)(task) for task in tasks)
        try:
            # Not `yield from`: that would close them first, and wait for what is under way.
            for result in results:  # noqa: UP028
                yield result
        finally:
            self._stop.set()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib tells how many tasks that ends
                results.close()
            for worker in workers:
                worker.close()


_WORKER = Worker()


def _supervise(
    function: Callable[[Given], Result],
    lost: Callable[[Given, str], Result],
    task: Given,
    timeout: float,
    most: float,
    first: Callable[[], object],
) -> Result:
    """Call the function in this actor's own worker process; runs on a node of the cluster."""
    try:
        most = most or _bytes(0, os.cpu_count() or 1)
        return _WORKER.run(function, task, timeout, most, first=first)
    except Lost as reason:
        return lost(task, str(reason))


def _bytes(gibibytes: float, workers: int) -> float:
    """What was asked for; else a share of this machine, or 0 where that is not known here."""
    if gibibytes:
        return gibibytes * 2**30
    return 0.8 * psutil.virtual_memory().total / workers if workers else 0.0


def _begin(parent: int) -> None:
    """What a worker process does first."""
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _exit_code(error: Exception) -> str:
    """How the process ended, where joblib knows it: " (SIGSEGV)"."""
    found = re.search(r"exit codes of the workers are \{(\w+)", str(error))
    if found is None:
        return ""
    hint = ", perhaps for want of memory" if found[1] == "SIGKILL" else ""
    return f" ({found[1]}{hint})"


def _follow(parent: int) -> None:
    """End with the parent, even where that was killed."""
    while os.getppid() == parent or os.name == "nt":
        time.sleep(1)
    os._exit(1)
