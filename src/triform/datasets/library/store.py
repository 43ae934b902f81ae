"""Where a library's files lie: a folder, or any address that fsspec knows."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from triform.base.errors import UserError

_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "updated", "created")


class StoreError(UserError):
    """The place itself refuses a file: full, read-only, no longer there."""


class Store:
    """Small files by their path inside a library, forward slashes, each written whole or not.

    A local folder is used directly; `memory://`, `s3://` and whatever else fsspec knows go through
    it. Object stores show an upload only when it is complete, which is the same promise.

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
        if self.root.startswith("file://"):
            self.folder = Path(self.root.removeprefix("file://"))
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

    def read_bytes(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.folder is not None:
            return (self.folder / path).read_bytes()
        return bytes(self._files.cat_file(self._at(path)))

    def read_head(self, path: str, count: int) -> bytes:
        """The first bytes of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.folder is not None:
            with (self.folder / path).open("rb") as stream:
                return stream.read(count)
        return bytes(self._files.cat_file(self._at(path), start=0, end=count))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file whole: nobody ever sees a part of it under its name.

        Unlike `base.files.atomic_write` this does not wait for the disk: a library is thousands
        of small files, all of which can be made again, and their sizes are recorded.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            self._write(path, data)
        except Exception as error:  # every kind of store has errors of its own
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise StoreError(
                f"{self.root}: {path} cannot be written ({' '.join(str(reason).split())[:200]})"
            ) from None

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        if self.folder is not None:
            return (self.folder / path).is_file()
        return bool(self._files.isfile(self._at(path)))

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self.folder is not None:
                (self.folder / path).unlink()
            else:
                self._files.rm_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder that is empty; any other stays."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / path).rmdir()

    def sizes(self, folder: str) -> dict[str, int]:
        """Path -> bytes of every file directly in a folder; empty where there is no such folder.

        Files that are being written (a dot in front) are left out.
        """
        if self.folder is not None:
            try:
                with os.scandir(self.folder / folder) as entries:
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
        if self.folder is not None:
            try:
                with os.scandir(self.folder / folder) as entries:
                    stats = {entry.name: entry.stat() for entry in entries if entry.name[0] != "."}
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {
                f"{folder}/{name}": f"{stat.st_size} {stat.st_mtime_ns}"
                for name, stat in stats.items()
            }
        facts = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in self._files.ls(self._at(folder), detail=True):
                # Every kind of store calls it something else.
                stamp = [str(entry[key]) for key in _STAMPS if entry.get(key) is not None]
                name = entry["name"].rpartition("/")[2]
                facts[f"{folder}/{name}"] = " ".join([str(entry["size"]), *stamp])
        return facts

    def _write(self, path: str, data: bytes) -> None:
        if self.folder is None:
            self._files.pipe_file(self._at(path), data)
            return
        target = self.folder / path
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            try:
                part.write_bytes(data)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.write_bytes(data)
            os.replace(part, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            raise

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
