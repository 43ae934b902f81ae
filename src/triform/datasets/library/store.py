"""Where a library's files lie: a folder, or any address that fsspec knows."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import read_regular
from triform.datasets.library.ids import path_fault

# Most bytes of one file that are read into memory.
LARGEST_FILE = 2**30
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "updated", "created")


class StoreError(UserError):
    """The place itself refuses a file: full, read-only, no longer there."""


class OutsideError(UserError):
    """A path that leads out of the library, or to what is no file."""


class Store:
    """Small files by their path inside a library, forward slashes, each written whole or not.

    A local folder is used directly; `memory://`, `s3://` and whatever else fsspec knows go through
    it. Object stores show an upload only when it is complete, which is the same promise.

    A library may be a stranger's: every method refuses a path that leads out of it, by its words
    or through a link, with an `OutsideError`.

    Attributes:
        root: the folder or address, as it was given.
        folder: the local folder, or None.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Open a place; nothing is made or read yet.

        Raises:
            UserError: an address of an unknown kind, or one whose own package is missing.
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
        # A connection does not travel; another process opens its own.
        return {"root": self.root if self.folder is None else str(self.folder)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]

    @property
    def is_memory(self) -> bool:
        """Whether the files exist in this process only."""
        return self.root.startswith("memory:")

    def local_path(self, path: str, *, follow: bool = True) -> Path | None:
        """Where a path of the library lies on this machine; None where it is not on it.

        Args:
            path: inside the library.
            follow: or else the last part is meant itself, whatever it leads to.

        Raises:
            OutsideError: it leads out of the library.
        """
        fault = path_fault(path)
        if fault:
            raise OutsideError(f"{self.root}: the path {path[:120]!r} {fault}; it is not used")
        if self.folder is None:
            return None
        parts = path.split("/")
        place = self.folder
        for part in parts if follow else parts[:-1]:
            place = place / part
            try:
                is_link = stat.S_ISLNK(os.lstat(place).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                break  # nothing is there that could be a link
            if is_link and not self._is_inside(place):
                raise OutsideError(
                    f"{self.root}: {path} is a link that leads out of the library; "
                    "copy into the library what it leads to"
                )
        return self.folder / path

    def local_file(self, path: str) -> Path | None:
        """As `local_path`, of a file that can be read.

        Raises:
            FileNotFoundError: there is none.
            OutsideError: it leads out of the library, or is no regular file.
        """
        place = self.local_path(path)
        try:
            if place is not None and not stat.S_ISREG(os.stat(place).st_mode):
                raise OutsideError(f"{self.root}: {path} is not a regular file")
        except NotADirectoryError as error:  # the library itself may be a file
            raise FileNotFoundError(*error.args) from None
        return place

    def read_bytes(self, path: str, limit: int = LARGEST_FILE) -> bytes:
        """The content of a file.

        Args:
            path: inside the library.
            limit: most bytes that it may have; of a file on this machine.

        Raises:
            FileNotFoundError: there is none.
            UserError: it leads out of the library, is no regular file, or larger.
        """
        place = self.local_file(path)
        if place is None:
            return bytes(self._files.cat_file(self._at(path)))
        try:
            return read_regular(place, limit)
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    def read_head(self, path: str, count: int) -> bytes:
        """The first bytes of a file.

        Raises:
            FileNotFoundError: there is none.
            OutsideError: it leads out of the library, or is no regular file.
        """
        place = self.local_file(path)
        if place is None:
            return bytes(self._files.cat_file(self._at(path), start=0, end=count))
        with place.open("rb") as stream:
            return stream.read(count)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file whole: nobody ever sees a part of it under its name.

        Unlike `base.files.atomic_write` this does not wait for the disk: a library is thousands
        of small files, all of which can be made again, and their sizes are recorded.

        Raises:
            StoreError: it cannot be written.
            OutsideError: it would lie outside the library.
        """
        place = self.local_path(path, follow=False)
        try:
            if place is None:
                self._files.pipe_file(self._at(path), data)
            else:
                _write(place, data)
        except Exception as error:  # every kind of store has errors of its own
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise StoreError(
                f"{self.root}: {path} cannot be written ({' '.join(str(reason).split())[:200]})"
            ) from None

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        place = self.local_path(path)
        return place.is_file() if place else bool(self._files.isfile(self._at(path)))

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error, and of a link the link goes.

        Raises:
            OutsideError: it lies outside the library.
        """
        place = self.local_path(path, follow=False)
        with contextlib.suppress(FileNotFoundError):
            if place is not None:
                place.unlink()
            else:
                self._files.rm_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder that is empty; any other stays."""
        place = self.local_path(path)
        if place is not None:
            with contextlib.suppress(OSError):
                place.rmdir()

    def sizes(self, folder: str) -> dict[str, int]:
        """Path -> bytes of every file directly in a folder; empty where there is no such folder.

        Files that are being written (a dot in front) are left out.
        """
        place = self.local_path(folder)
        if place is not None:
            try:
                with os.scandir(place) as entries:
                    return {
                        f"{folder}/{entry.name}": entry.stat().st_size
                        for entry in entries
                        if entry.name[0] != "." and entry.is_file()
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._at(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            f"{folder}/{name}": int(entry["size"])
            for entry in found
            if entry["type"] == "file" and (name := entry["name"].rpartition("/")[2])[:1] != "."
        }

    def facts(self, folder: str) -> dict[str, str]:
        """Path -> size, and time or tag: what changes with the content of the files of a folder."""
        place = self.local_path(folder)
        if place is not None:
            try:
                with os.scandir(place) as entries:
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
        facts = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in self._files.ls(self._at(folder), detail=True):
                # Every kind of store calls it something else.
                stamp = [str(entry[key]) for key in _STAMPS if entry.get(key) is not None]
                name = entry["name"].rpartition("/")[2]
                facts[f"{folder}/{name}"] = " ".join([str(entry["size"]), *stamp])
        return facts

    def _is_inside(self, place: Path) -> bool:
        """Whether a link leads to something in the library."""
        root = os.path.realpath(self.folder or "")
        try:
            return os.path.commonpath([root, os.path.realpath(place)]) == root
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

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"


def _write(target: Path, data: bytes) -> None:
    """Write a file under a name that nobody can foresee, never through a link, and rename it."""
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
