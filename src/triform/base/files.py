"""Write files atomically and privately; read and append to regular files only."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from triform.base.errors import UserError

_DISK_ERRNOS = {
    code
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS")
    if (code := getattr(errno, name, None)) is not None
}


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that gets its name only when it is complete and synced to disk.

    The data goes to a temporary file in the same folder, is synced, and is renamed. A process
    killed at any moment leaves the old file whole; an exception leaves the old file and nothing
    else. Missing folders are created. The temporary file has an unguessable name,
    is created by this call (`O_EXCL`, never through a link) and is private until it is complete.

    Args:
        path: The target.
        mode: `"wb"` for bytes, `"w"` for text (UTF-8, line ends as written).

    Yields:
        The open file.

    Raises:
        ValueError: The mode does not write a file anew.
        UserError: The target is a link, a device, a pipe or a socket, which is not replaced.
        OSError: The folder cannot be written.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes a file anew: mode must be 'wb' or 'w', not {mode!r}")
    path = Path(path)
    refuse_special(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A dot in front: a listing of `*.pth` in the folder must not find half a file.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            # mkstemp creates files that only their owner can read; set the default permissions.
            set_default_mode(file.fileno(), name)
            os.fsync(file.fileno())
        refuse_special(path)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if reason := disk_error(error):
            # The system does not say for which file, and libraries put errors of their own on top.
            raise OSError(reason.errno, reason.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def atomic_copy(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file so that the target is never half written.

    Args:
        source: A regular file.
        target: The copy; replaced where it is there.
        link: Let both names share the data where the disk can; only for files that are replaced
            and never changed.

    Raises:
        UserError: The target is a link, a device, a pipe or a socket.
        OSError: The folder cannot be written.
    """
    refuse_special(target)
    if link:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        try:
            os.link(source, name)
            os.replace(name, target)
            _sync_folder(target.parent)
            return
        except OSError:  # another disk, or one without hard links
            pass
        finally:
            # Between two names of one file a rename does nothing, and the first name stays.
            name.unlink(missing_ok=True)
    with source.open("rb") as original, atomic_write(target) as copy:
        shutil.copyfileobj(original, copy)


def disk_error(error: BaseException | None) -> OSError | None:
    """The error of a full or broken disk in a chain of errors; None if there is none."""
    for _ in range(10):
        if error is None:
            break
        if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
            return error
        error = error.__cause__ or error.__context__
    return None


def machine_error(error: Exception) -> str:
    """Message about an error of the operating system or lack of memory; else empty.

    A file that cannot be created, read or written, a full disk, or too little memory is no bug,
    and its traceback helps nobody.
    """
    os_error = error if isinstance(error, OSError) else disk_error(error)
    if os_error is not None and os_error.strerror is not None:
        where = "" if os_error.filename is None else f"{os_error.filename}: "
        return f"{where}{os_error.strerror[:1].lower()}{os_error.strerror[1:]}"
    # As torch says it; its own class of error cannot be named without importing it.
    mentions_memory = any(
        word in str(error).lower() for word in ("of memory", "enough memory", "e memory")
    )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and mentions_memory):
        return (
            "not enough memory for this; lower what costs it (--batch_size, --num_samples, sizes "
            "of images or grids), or use a machine with more"
        )
    return ""


_CHUNK = 2**16


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
            content = b""
            if status.st_size <= limit:
                # A read takes memory for all that it may return: ask for the file's size alone.
                content = file.read(status.st_size + 1)
            # Files of /proc say 0 and a file may grow meanwhile, so the bytes are counted too.
            while status.st_size < len(content) <= limit and (more := file.read(_CHUNK)):
                content += more
            is_large = status.st_size > limit or len(content) > limit
    except FileNotFoundError as error:
        raise UserError(f"{path}: not there") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{str(path)!r}: not a file name") from error
    except OSError as error:
        reason = "not there" if error.errno == errno.ENOTDIR else error.strerror
        raise UserError(f"{path}: cannot be read: {reason}") from error
    if is_large:
        raise UserError(f"{path}: larger than {limit:,} bytes, which is more than is read of it")
    return content


def _check_regular(path: str | Path, mode: int) -> None:
    """Refuse everything but regular files."""
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: a device, pipe or socket, expected a regular file")


def refuse_special(path: Path) -> None:
    """Refuse to write to what is neither a regular file nor a folder.

    Replacing `/dev/null` breaks a machine; a link in a shared folder leads wherever another user
    wants; a pipe blocks for ever. (A folder ends in the system's own error.)

    Raises:
        UserError: The path is a link, a device, a pipe or a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):  # not there, or not a valid name: opening it says so
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    kind = "a link" if stat.S_ISLNK(mode) else "a device, pipe or socket"
    raise UserError(f"{path}: {kind}, which is not written to or replaced; name a plain file")


def open_append(path: str | Path, *, text: bool) -> IO[Any]:
    """Open a file to append to, never through a link and never a device or a pipe.

    Args:
        path: The file; created if missing, its folder must exist.
        text: UTF-8 text with line ends as written, each line at once; else unbuffered bytes.

    Raises:
        UserError: It is not a regular file.
        OSError: The file cannot be opened.
    """
    refuse_special(Path(path))
    names = ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    # Another user may have replaced it between the check and the opening.
    handle = os.open(path, flags | sum(getattr(os, name, 0) for name in names), 0o666)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UserError(f"{path}: not a plain file; name another one")
        if text:
            return os.fdopen(handle, "a", encoding="utf-8", newline="", buffering=1)
        return os.fdopen(handle, "ab", buffering=0)
    except BaseException:
        os.close(handle)
        raise


def write_private(prefix: str, suffix: str, text: str) -> Path:
    """Write a new file into the folder for temporary files, readable by its owner only.

    Its name has an unguessable part, and it never replaces another file.

    Returns:
        The file.

    Raises:
        OSError: The folder cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)


def set_default_mode(handle: int, name: str | Path) -> None:
    """Set the permissions of an open private file to those of any new file."""
    os.chmod(handle if os.chmod in os.supports_fd else name, 0o666 & ~_umask())


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename survives a power cut."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    """The umask of this process."""
    mask = os.umask(0o077)  # a file that another thread creates meanwhile is private
    os.umask(mask)
    return mask
