"""Files that are either the old version or the new one, never something in between."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from triform.base.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that takes its name only when it is complete and on the disk.

    The data goes to a temporary file in the same folder, is synced, and is renamed. A process
    killed at any moment leaves the old file whole; an exception leaves the old file and nothing
    else. Folders that are missing are made.

    Args:
        path: Where the file shall be.
        mode: `"wb"` for bytes, `"w"` for text (UTF-8, line ends as written).

    Yields:
        The open file.

    Raises:
        ValueError: The mode does not write a file anew.
        OSError: The folder cannot be written.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes a file anew: mode must be 'wb' or 'w', not {mode!r}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A dot in front: whoever lists `*.pth` in the folder must not meet half a file.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            # mkstemp makes files that only their owner can read; give them the usual rights.
            os.chmod(name, 0o666 & ~_umask())
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def read_regular(path: str | Path, limit: int) -> bytes:
    """Read a small regular file whole: never a FIFO or a device, never more than `limit` bytes.

    Args:
        path: The file; a link to a regular file is followed.
        limit: Most bytes that the file may have.

    Returns:
        All of its bytes.

    Raises:
        UserError: Not there, not a regular file, larger than `limit`, or not readable.
    """
    # A FIFO would wait for a writer, and the kind of a file may change before it is opened:
    # open without waiting, then look at what was opened.
    flags = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
    try:
        # Opening a device can do something by itself (rewind a tape), so look before as well.
        _check_regular(path, os.stat(path).st_mode)
        handle = os.open(path, os.O_RDONLY | flags)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            _check_regular(path, status.st_mode)
            # Files of /proc say 0 and a file may grow meanwhile, so the bytes are counted too.
            content = file.read(limit + 1) if status.st_size <= limit else None
    except FileNotFoundError as error:
        raise UserError(f"{path}: not there") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{str(path)!r}: not a file name") from error
    except OSError as error:
        reason = "not there" if error.errno == errno.ENOTDIR else error.strerror
        raise UserError(f"{path}: cannot be read: {reason}") from error
    if content is None or len(content) > limit:
        raise UserError(f"{path}: larger than {limit:,} bytes, which is more than is read of it")
    return content


def _check_regular(path: str | Path, mode: int) -> None:
    """Refuse what is no regular file."""
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: a device, pipe or socket, expected a regular file")


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can sync folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    """The rights that new files of this process do not get."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
