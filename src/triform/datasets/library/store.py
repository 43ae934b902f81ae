"""File access of a library: a local folder, or any URL that fsspec supports."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import read_regular
from triform.datasets.library.ids import path_problem

# Larger files are refused.
MAX_FILE_BYTES = 2**30
_STAMP_KEYS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "mtime",
    "LastModified",
    "updated",
    "created",
)


class StoreError(UserError):
    """The storage refuses a file: full, read-only or disconnected."""


class OutsideError(UserError):
    """A path that leads out of the library, or is not a regular file."""


class Store:
    """Small files by their path inside a library, with forward slashes; writes are atomic.

    A local folder is used directly; `memory://`, `s3://` and others go through fsspec. Object
    stores show an upload only when it is complete, which is atomic as well.

    A library may be untrusted: every method refuses a path that leads out of it, by its parts or
    through a link, with an `OutsideError`.

    Attributes:
        root: the folder or URL, as passed.
        folder: the local folder, or None.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Parse the root; nothing is created or read yet.

        Raises:
            UserError: a URL of an unknown protocol, or the package for it is missing.
        """
        self.root = os.fspath(root)
        self.folder: Path | None = None
        self._files: Any = None
        self._base = ""
        local = next((s for s in ("file://", "local://") if self.root.startswith(s)), None)
        if local is not None:
            self.folder = Path(self.root.removeprefix(local)).absolute()
        elif "://" not in self.root and "::" not in self.root:
            self.folder = Path(self.root).expanduser().absolute()
        else:
            self._connect()

    def __getstate__(self) -> dict[str, Any]:
        # A connection cannot be pickled; another process opens its own.
        return {"root": self.root if self.folder is None else str(self.folder)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]

    @property
    def is_memory(self) -> bool:
        """Whether the files exist only in the memory of this process."""
        return self.root.startswith("memory:")

    def local_path(self, path: str, *, follow: bool = True) -> Path | None:
        """Local path of a file; None for a remote library.

        Args:
            path: inside the library.
            follow: follow a link in the last part; if false, the link itself is meant.

        Raises:
            OutsideError: the path leads out of the library.
        """
        problem = path_problem(path)
        if problem:
            raise OutsideError(f"{self.root}: the path {path[:120]!r} {problem}; it is not used")
        if self.folder is None:
            return None
        parts = path.split("/")
        target = self.folder
        for part in parts if follow else parts[:-1]:
            target = target / part
            try:
                is_link = stat.S_ISLNK(os.lstat(target).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                break  # nothing exists from here on
            if is_link and not self._is_inside(target):
                raise OutsideError(
                    f"{self.root}: {path} is a link that leads out of the library; "
                    "copy into the library what it leads to"
                )
        return self.folder / path

    def local_file(self, path: str) -> Path | None:
        """As `local_path`, for a regular file.

        Raises:
            FileNotFoundError: it is missing.
            OutsideError: it leads out of the library, or is no regular file.
        """
        target = self.local_path(path)
        try:
            if target is not None and not stat.S_ISREG(os.stat(target).st_mode):
                raise OutsideError(f"{self.root}: {path} is not a regular file")
        except NotADirectoryError as error:  # the library itself may be a file
            raise FileNotFoundError(*error.args) from None
        return target

    def read_bytes(self, path: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Content of a file.

        Args:
            path: inside the library.
            limit: largest size in bytes, of a local file.

        Raises:
            FileNotFoundError: it is missing.
            UserError: it leads out of the library, is not a regular file, or too large.
        """
        target = self.local_file(path)
        if target is None:
            return bytes(self._files.cat_file(self._address(path)))
        try:
            return read_regular(target, limit)
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    def read_head(self, path: str, count: int) -> bytes:
        """First bytes of a file.

        Raises:
            FileNotFoundError: it is missing.
            OutsideError: it leads out of the library, or is no regular file.
        """
        target = self.local_file(path)
        if target is None:
            return bytes(self._files.cat_file(self._address(path), start=0, end=count))
        with target.open("rb") as stream:
            return stream.read(count)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file atomically.

        Unlike `base.files.atomic_write` this does not sync to disk: a library has thousands of
        small files, all of which can be made again, and their sizes are recorded.

        Raises:
            StoreError: it cannot be written.
            OutsideError: it would lie outside the library.
        """
        target = self.local_path(path, follow=False)
        try:
            if target is None:
                self._files.pipe_file(self._address(path), data)
            else:
                _write(target, data)
        except Exception as error:  # every fsspec file system has its own errors
            raise StoreError(f"{self.root}: {path} cannot be written ({_reason(error)})") from None

    def exists(self, path: str) -> bool:
        """Whether a file exists."""
        target = self.local_path(path)
        return target.is_file() if target else bool(self._files.isfile(self._address(path)))

    def remove(self, path: str) -> None:
        """Remove a file or a link; a missing one is not an error.

        Raises:
            OutsideError: it lies outside the library.
        """
        target = self.local_path(path, follow=False)
        with contextlib.suppress(FileNotFoundError):
            if target is not None:
                target.unlink()
            else:
                self._files.rm_file(self._address(path))

    def move(self, path: str, target: str) -> None:
        """Move a file to a path where there is none.

        Raises:
            StoreError: it cannot be moved.
            OutsideError: one of both lies outside the library.
        """
        local, local_target = (self.local_path(name, follow=False) for name in (path, target))
        try:
            if local is None or local_target is None:
                self._files.mv(self._address(path), self._address(target))
            else:
                local_target.parent.mkdir(exist_ok=True)
                os.replace(local, local_target)
        except Exception as error:  # every fsspec file system has its own errors
            raise StoreError(
                f"{self.root}: {path} cannot be moved to {target} ({_reason(error)})"
            ) from None

    def remove_folder(self, path: str) -> None:
        """Remove a folder if it is empty."""
        target = self.local_path(path)
        if target is not None:
            with contextlib.suppress(OSError):
                target.rmdir()

    def sizes(self, folder: str) -> dict[str, int]:
        """Path -> size in bytes of all files in a folder; empty without such a folder.

        Unfinished files (names with a leading dot) are left out.
        """
        target = self.local_path(folder)
        if target is not None:
            try:
                with os.scandir(target) as entries:
                    return {
                        f"{folder}/{entry.name}": entry.stat().st_size
                        for entry in entries
                        if entry.name[0] != "." and entry.is_file()
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}
        self._files.invalidate_cache()
        try:
            listing = self._files.ls(self._address(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            f"{folder}/{name}": int(entry["size"])
            for entry in listing
            if entry["type"] == "file" and (name := entry["name"].rpartition("/")[2])[:1] != "."
        }

    def fingerprints(self, folder: str) -> dict[str, str]:
        """Path -> size, and time or tag, of all files in a folder: they change with the content."""
        target = self.local_path(folder)
        if target is not None:
            try:
                with os.scandir(target) as entries:
                    stats = {
                        entry.name: entry.stat()
                        for entry in entries
                        if entry.name[0] != "." and entry.is_file()
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {
                f"{folder}/{name}": f"{status.st_size} {status.st_mtime_ns}"
                for name, status in stats.items()
            }
        fingerprints = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in self._files.ls(self._address(folder), detail=True):
                # Each fsspec file system has its own name for it.
                stamp = [str(entry[key]) for key in _STAMP_KEYS if entry.get(key) is not None]
                name = entry["name"].rpartition("/")[2]
                fingerprints[f"{folder}/{name}"] = " ".join([str(entry["size"]), *stamp])
        return fingerprints

    def _is_inside(self, target: Path) -> bool:
        """Whether a link leads to a path in the library."""
        root = os.path.realpath(self.folder or "")
        try:
            return os.path.commonpath([root, os.path.realpath(target)]) == root
        except ValueError:  # another drive
            return False

    def _connect(self) -> None:
        try:
            import fsspec

            self._files, base = fsspec.core.url_to_fs(self.root)
        except ImportError as error:
            raise UserError(f"{self.root}: {' '.join(str(error).split())}") from None
        except ValueError as error:
            raise UserError(
                f"{self.root}: no folder, and no address that can be used ({error})"
            ) from None
        self._base = base.rstrip("/")

    def _address(self, path: str) -> str:
        return f"{self._base}/{path}"


def _reason(error: Exception) -> str:
    reason = (isinstance(error, OSError) and error.strerror) or error
    return " ".join(str(reason).split())[:200]


def _write(target: Path, data: bytes) -> None:
    """Write a file under a random name, never through a link, and rename it."""
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        try:
            handle = os.open(part, flags, 0o666)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(part, flags, 0o666)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise
