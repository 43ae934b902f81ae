"""Run something hostile in a child process that may take little memory and time."""

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from triform.base.errors import UserError

MOST_BYTES = 200 * 2**20
# What ends the child: far above what is asserted, so that a machine survives a failing test.
_STOP_BYTES, _STOP_SECONDS = 4 * 2**30, 60
_COARSE_SECONDS = 10


def refused_cheaply(call: Callable[[], object]) -> str:
    """What a call complains of, in one line, within 200 MB above the start and some seconds."""
    answer = run_bounded(call)
    assert answer["kind"] == "UserError", answer
    text = str(answer["text"])
    assert "\n" not in text and len(text) < 700, text
    return text


def run_bounded(call: Callable[[], object]) -> dict[str, object]:
    """What becomes of a call: kind ("done" or the exception's), text, bytes, seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run(call, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitpid(child, 0)[1]
    assert data, f"the child ended with status {status}: killed for its time, or crashed"
    answer: dict[str, object] = json.loads(data)
    assert int(str(answer["bytes"])) < MOST_BYTES, answer
    assert float(str(answer["seconds"])) < _COARSE_SECONDS, answer
    return answer


def _run(call: Callable[[], object], pipe: int) -> None:
    """The child; it never returns."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_STOP_SECONDS)
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + _STOP_BYTES,) * 2)
    before, started = _peak(), time.monotonic()
    try:
        call()
        kind, text = "done", ""
    except UserError as error:
        kind, text = "UserError", str(error)
    except BaseException as error:
        kind, text = type(error).__name__, str(error)[:300]
    metadata = {
        "kind": kind,
        "text": text,
        "bytes": _peak() - before,
        "seconds": time.monotonic() - started,
    }
    os.write(pipe, json.dumps(metadata).encode())
    os._exit(0)


def _peak() -> int:
    """Most bytes that this process had in memory since it began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
