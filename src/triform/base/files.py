"""Files that are either the old version or the new one, never something in between."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


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
