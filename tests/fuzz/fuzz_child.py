"""One input in a process of its own: what it may use, what it may touch, what came of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triform import cli
from triform.base.errors import UserError

SECONDS = 20.0
MEMORY = 2 * 2**30
LARGEST_FILE = 2**30
MOST_TEXT = 20_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.truncate",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
}
_STARTING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
_HARMLESS = ("/dev/null", "/dev/urandom")
_SOURCE = os.path.realpath(Path(cli.__file__).parent) + os.sep


@dataclass(frozen=True)
class Outcome:
    """What came of one input.

    Attributes:
        kind: `read`, `refused` (one line), or what was found: `exception`, `signal`, `timeout`,
            `memory`, `touched` (something outside its folder), `terminal` (characters that a
            terminal acts upon).
        text: the line, or what is known about the finding.
        seconds: how long it took.
    """

    kind: str
    text: str
    seconds: float

    @property
    def is_finding(self) -> bool:
        """Whether this should not have happened."""
        return self.kind not in ("read", "refused")


def run(reader: Callable[[Path], object], folder: Path, allowed: tuple[Path, ...] = ()) -> Outcome:
    """Run a reader on a folder in a forked child.

    Args:
        reader: raises `UserError` where it refuses.
        folder: the child's current folder, and the only one in which it may change anything.
        allowed: further folders for caches.
    """
    receive, send = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _child(reader, folder, allowed, send)
    os.close(send)
    answer, is_late = _collect(receive, started)
    os.close(receive)
    if is_late:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - started
    if is_late:
        return Outcome("timeout", f"more than {SECONDS:.0f} s", seconds)
    if usage.ru_maxrss * 1024 > MEMORY:
        return Outcome("memory", f"{usage.ru_maxrss // 1024:,} MiB; {answer[-500:]!r}", seconds)
    if os.WIFSIGNALED(status):
        return Outcome("signal", signal.Signals(os.WTERMSIG(status)).name, seconds)
    try:
        kind, text = json.loads(answer)
    except ValueError:
        return Outcome("signal", f"ended with status {status} without a word", seconds)
    return Outcome(kind, text, seconds)


def _collect(receive: int, started: float) -> tuple[bytes, bool]:
    """What the child says until it closes its end; and whether it took too long."""
    answer = b""
    while (left := started + SECONDS - time.monotonic()) > 0:
        if select.select([receive], [], [], left)[0]:
            piece = os.read(receive, 65536)
            if not piece:
                return answer, False
            answer += piece
    return answer, True


def _child(
    reader: Callable[[Path], object], folder: Path, allowed: tuple[Path, ...], send: int
) -> None:
    """Everything that happens in the child; it never returns."""
    touched: list[str] = []
    kind, text = "exception", "no answer"
    try:
        os.chdir(folder)
        os.environ["TRIFORM_CACHE"] = str(folder / "cache")
        # torch makes this folder when its compiler is imported, which nothing here asks for.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "cache" / "inductor")
        tempfile.tempdir = str(folder)
        output = os.open(folder / ".output", os.O_RDWR | os.O_CREAT, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, target)
        _limit()
        cli.report_crash = _raise  # type: ignore[assignment]
        sys.addaudithook(_watch(touched, [folder, *allowed]))
        kind, text = _answer(reader, folder)
        os.lseek(output, 0, os.SEEK_SET)
        shown = os.read(output, 2**20).decode("utf-8", "replace")
        hidden = {c for c in shown if not c.isprintable() and c not in "\n\t\r\u200c\u200d"}
        if hidden and kind in ("read", "refused"):
            kind, text = "terminal", f"{sorted(hidden)[:5]!r} in {shown[:2000]!r}"
    except BaseException:
        kind, text = "exception", traceback.format_exc()
    try:
        if touched:
            kind, text = "touched", "; ".join(touched[:20])
        os.write(send, json.dumps([kind, text[-MOST_TEXT:]]).encode())
    finally:
        os._exit(0)


def _answer(reader: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    """What the reader does with the folder."""
    try:
        reader(folder)
    except UserError as error:
        return "refused", " ".join(str(error).split())[:500]  # as the command line does it
    except BaseException:
        return "exception", traceback.format_exc()
    return "read", ""


def _raise(error: Exception) -> int:
    """In the place of the crash report of the command."""
    raise error


def _limit() -> None:
    """Memory that may be asked for, and the size of a file; the parent looks at the time."""
    with open("/proc/self/status", encoding="ascii") as status:
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
    most = max(MEMORY, used + MEMORY // 2)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(touched: list[str], allowed: list[Path]) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook that notes what is written, changed, started or connected to outside."""
    inside = tuple(os.path.realpath(path) + os.sep for path in allowed)
    secret = os.path.realpath(allowed[0].parent / "canary")

    def is_outside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file
        name = os.fsdecode(path)
        where = os.path.join(os.path.realpath(os.path.dirname(name) or "."), os.path.basename(name))
        if name in _HARMLESS or (where.startswith(_SOURCE) and "__pycache__" in where):
            return False  # code of the package, compiled on first use
        return not f"{where}{os.sep}".startswith(inside)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = values
            if isinstance(flags, int) and flags & _WRITING and is_outside(path):
                touched.append(f"wrote {path!r}")
            elif isinstance(path, str) and os.path.realpath(path).startswith(secret):
                touched.append(f"read {path!r}")
        elif event in _CHANGING:
            for path in values:
                if isinstance(path, str | bytes | os.PathLike) and is_outside(path):
                    touched.append(f"{event} {path!r}")
        elif event in _STARTING and sys.executable not in str(values[0]):
            touched.append(f"{event} {str(values[:2])[:200]}")
        elif event == "socket.connect":
            touched.append(f"connected to {values[1]!r}")

    return hook
