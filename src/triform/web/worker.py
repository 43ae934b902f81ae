"""The worker process: runs verbs of systems, one after the other, and reports by lines of JSON.

It reads jobs and requests to stop from its input. A stop raises KeyboardInterrupt in the verb, as
Ctrl-C does on the command line, so that a training saves and a gallery keeps what it has. Where
the server is gone, the input ends, and so does this process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

from triform.base.errors import UserError, one_line
from triform.base.files import machine_error
from triform.base.printable import printable
from triform.web.progress_bar import report_bars

SAVING_SECONDS = 60.0
"""Time in which a job may save what it has after the server is gone."""
MAX_ANSWER_BYTES = 1_000_000
FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/;,:'\"]+/)+")
Execute = Callable[[Mapping[str, Any]], dict[str, Any]]


class Channel:
    """Lines of JSON to the server."""

    def __init__(self, stream: IO[str]):
        self._stream, self._lock = stream, threading.Lock()
        self.job: str | None = None

    def send(self, event: str, **values: Any) -> None:
        """Send an event of the current job; a server that is gone is no error."""
        text = json.dumps({"event": event, "job": self.job, **values}, default=str)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()


class ChannelHandler(logging.Handler):
    """Sends the program's warnings to the server."""

    def __init__(self, channel: Channel):
        super().__init__(logging.INFO)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a warning, or the run directory that a training announces."""
        if str(record.msg).startswith("run: ") and isinstance(record.args, tuple):
            self._channel.send("run", path=str(record.args[0]))
        if record.levelno >= logging.WARNING:
            text = without_folders(printable(one_line(record.getMessage())))
            self._channel.send("message", text=text)


def without_folders(text: str) -> str:
    """A message in which a path is its last part: where a file lies is not for all users."""
    return FOLDERS.sub("", text)


class Stopper:
    """Raises KeyboardInterrupt in the main thread while a job runs, and only then."""

    def __init__(self) -> None:
        self._job: str | None = None
        self._early: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._main = threading.main_thread()
        signal.signal(signal.SIGINT, self._interrupt)

    def begin(self, job: str) -> None:
        """A job begins.

        Raises:
            KeyboardInterrupt: It was stopped before.
        """
        with self._lock:
            if job in self._early:
                raise KeyboardInterrupt
            self._job = job
            self._ended.clear()

    def end(self) -> None:
        """The job has ended: a stop that comes now is too late."""
        with self._lock:
            self._job = None
            self._ended.set()

    def wait(self, seconds: float) -> None:
        """Wait until the job has ended, at most for some time."""
        self._ended.wait(seconds)

    def stop(self, job: str | None = None) -> bool:
        """Stop a job, or any; False if it does not run, or not yet."""
        with self._lock:
            if self._job is None or job not in (None, self._job):
                if job is not None:
                    self._early.add(job)
                return False
            # To the thread, not the process: it has to wake up a call that waits.
            assert self._main.ident is not None
            signal.pthread_kill(self._main.ident, signal.SIGINT)
            return True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._job is not None:
            raise KeyboardInterrupt


def main(execute: Execute) -> None:
    """Run jobs until the input ends.

    Args:
        execute: Runs one job and returns what the server is told of it.
    """
    # What a verb prints must not get between the events.
    channel = Channel(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    logger = logging.getLogger("triform")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(ChannelHandler(channel))
    report_bars(
        lambda done, total, text: channel.send("progress", done=done, total=total, text=text)
    )
    stopper, jobs = Stopper(), queue.SimpleQueue[Mapping[str, Any]]()
    threading.Thread(target=read_input, args=(sys.stdin, jobs, stopper), daemon=True).start()
    from triform.base.malloc import keep_freed_memory, trim_memory

    keep_freed_memory()
    while True:
        run_job(jobs.get(), execute, channel, stopper)
        trim_memory()  # a worker lives for days; the server already has the answer


def read_input(
    stream: IO[str], jobs: queue.SimpleQueue[Mapping[str, Any]], stopper: Stopper
) -> None:
    """Pass jobs on and stop them; end the process where the server is gone."""
    for line in stream:
        message = json.loads(line)
        if "stop" in message:
            stopper.stop(message["stop"])
        else:
            jobs.put(message)
    if stopper.stop():
        stopper.wait(SAVING_SECONDS)
    os._exit(0)


def run_job(job: Mapping[str, Any], execute: Execute, channel: Channel, stopper: Stopper) -> None:
    """Run one job and report its end."""
    channel.job = job["job"]
    report: dict[str, Any] = {}
    event = "failed"
    try:
        stopper.begin(job["job"])
        report, event = execute(job), "done"
    except KeyboardInterrupt:
        event = "stopped"
    except UserError as error:
        report = {"error": without_folders(str(error))}
    except SystemExit:
        report = {"error": "it ended without a result"}
    except Exception as error:
        reason = machine_error(error)
        text = reason or one_line(printable(f"{type(error).__name__}: {error}"))
        report = {"error": without_folders(text)}
        if not reason:
            traceback.print_exc(file=sys.stderr)
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            stopper.end()
    if len(json.dumps(report, default=str)) > MAX_ANSWER_BYTES:
        report = {"answer": None, "error": "its answer is too long to keep"}
    channel.send(event, **report)


def run_verb(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run the verb of a job; returns what the server keeps of its result."""
    from triform import systems
    from triform.engine.device import with_available_device
    from triform.web.outcome import describe_outcome

    entry = systems.load(job["system"])
    settings = entry.config.VERBS[job["verb"]].model_validate(job["settings"])
    if hasattr(settings, "device"):
        settings = with_available_device(settings)
    result = entry.verb(job["verb"])(settings)
    return describe_outcome(result, settings, Path(job["folder"]))


if __name__ == "__main__":
    main(run_verb)
