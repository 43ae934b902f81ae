"""The worker process from the view of the server: start it, give it a job, stop it.

The two speak by lines of JSON. A stop is asked for first, as Ctrl-C would; a worker that does not
end its job in time is terminated, then killed, and the next job gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from triform.base.logging import get_logger

logger = get_logger(__name__)

POLL_SECONDS = 0.03
MEMORY_SECONDS = 0.25
"""Time between two measurements of a worker's memory."""
Event = Mapping[str, Any]
PROGRAM = ("-m", "triform.web.worker")


@dataclass(frozen=True)
class Limits:
    """Limits of a job.

    Attributes:
        seconds: Longest time; None for no limit.
        memory_bytes: Most resident memory of the worker and its children.
        grace: Seconds from the request to stop to SIGTERM.
        kill_after: Seconds from SIGTERM to SIGKILL.
    """

    seconds: float | None
    memory_bytes: float
    grace: float = 0.25
    kill_after: float = 0.1


@dataclass(frozen=True)
class Outcome:
    """End of a job.

    Attributes:
        state: `done`, `failed` or `stopped`.
        result: What the worker reports of a job that is done.
        error: Why it failed, in one line.
    """

    state: Literal["done", "failed", "stopped"]
    result: Mapping[str, Any]
    error: str = ""


class WorkerProcess:
    """A process that runs one job after the other and keeps its models loaded.

    Args:
        folder: Its working folder, emptied before each job; relative names lead nowhere else.
        log: File for what it prints.
        program: Arguments of Python that start it.
        runs: Folder of the training runs. A link to it is all that the working folder holds, so
            that "the newest run" is found as on the command line; None for no link.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        program: Sequence[str] = PROGRAM,
        *,
        runs: Path | None = None,
    ):
        self._folder, self._log, self._program, self._runs = folder, log, program, runs
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[Event] = queue.Queue()

    @property
    def pid(self) -> int | None:
        """Its process id; None if it does not run."""
        return self._process.pid if self._process is not None and self.is_alive else None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process unless it runs."""
        if self.is_alive:
            return
        self._empty_folder()
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=environment,
                start_new_session=True,
            )
        self._events = queue.Queue()
        threading.Thread(
            target=_read_events, args=(self._process, self._events), daemon=True
        ).start()

    def run(
        self,
        job: Mapping[str, Any],
        limits: Limits,
        *,
        stop: threading.Event,
        on_event: Callable[[Event], None],
    ) -> Outcome:
        """Run a job to its end.

        Args:
            job: What the worker is sent.
            limits: Its limits.
            stop: Set by whoever wants the job to stop.
            on_event: Called with progress and messages.
        """
        self._empty_folder()
        self.start()
        started = last_memory = time.monotonic()
        reason, stop_time = "", 0.0
        if not self._send(job):
            return self._died("")
        while True:
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=POLL_SECONDS)
                if event.get("job") not in (job["job"], None):
                    continue
                match event.get("event"):
                    case "done":
                        return Outcome("done", event)
                    case "failed" if not stop.is_set():
                        return Outcome("failed", event, reason or str(event.get("error")))
                    case "failed" | "stopped":
                        return self._stopped(stop, reason)
                    case "died":
                        return self._stopped(stop, reason) if stop_time else self._died(reason)
                    case _:
                        on_event(event)
            now = time.monotonic()
            if not stop_time:
                if now - last_memory > MEMORY_SECONDS:
                    last_memory = now
                    if (used := self.memory()) > limits.memory_bytes:
                        reason = (
                            f"it needed {used / 1e9:.2f} GB of memory, more than the limit of "
                            f"{limits.memory_bytes / 1e9:.2f} GB; make it smaller, or raise "
                            "--max_memory_gb"
                        )
                if limits.seconds is not None and now - started > limits.seconds:
                    reason = (
                        f"it took longer than the limit of {limits.seconds / 60:g} minutes; "
                        "make it smaller, or raise --max_job_minutes"
                    )
                if stop.is_set() or reason:
                    stop_time = now
                    self._send({"stop": job["job"]})
            elif now - stop_time > limits.grace + limits.kill_after:
                self._signal(signal.SIGKILL)
            elif now - stop_time > limits.grace:
                self._signal(signal.SIGTERM)

    def memory(self) -> int:
        """Resident memory in bytes of the process and its children."""
        if self._process is None:
            return 0
        total = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            for each in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += each.memory_info().rss
        return total

    def close(self, patience: float = 0.5) -> None:
        """End the process: by the end of its input, then by force.

        Args:
            patience: Seconds in which it may end by itself.
        """
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _send(self, message: Mapping[str, Any]) -> bool:
        """Send a line; False if the process is gone."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
            return True
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, number)

    def _stopped(self, stop: threading.Event, reason: str) -> Outcome:
        """The outcome of a job that ended because it was asked to, or because of a limit."""
        if reason and not stop.is_set():
            return Outcome("failed", {}, reason)
        return Outcome("stopped", {})

    def _died(self, reason: str) -> Outcome:
        status = None if self._process is None else self._process.poll()
        logger.warning("the worker ended with status %s", status)
        return Outcome("failed", {}, reason or f"its process ended unexpectedly (status {status})")

    def _empty_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._runs is not None:
            (self._folder / "runs").symlink_to(self._runs, target_is_directory=True)


def _read_events(process: subprocess.Popen[bytes], events: queue.Queue[Event]) -> None:
    """Put every line of a worker into a queue; at its end, that it died."""
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            events.put(json.loads(line))
    process.wait()
    events.put({"event": "died"})
