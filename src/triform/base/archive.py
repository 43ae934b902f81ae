"""Unpack untrusted zip and tar archives: nothing outside the folder, all within limits."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from triform.base.errors import UserError

MAX_BYTES = 64 * 2**30
# Files, and folders: eight times what the largest known archive holds.
MAX_FILES = 100_000
# Meshes as text compress a hundredfold at most; a higher ratio is a zip bomb.
MAX_RATIO = 1000
_RATIO_FREE_BYTES = 64 * 2**20
_CHUNK = 2**14
_MAX_NAME_BYTES = 1024
_MAX_DEPTH = 32
_MAX_TRAILER = 64 * 2**20
# Of a tar archive at once; what is longer is a header that no data set has.
_MAX_READ = 2**14
# Zip: marks and sizes of the records at the end of the file (APPNOTE 4.3.14 to 4.3.16).
_END, _END_BYTES, _MAX_COMMENT = b"PK\5\6", 22, 2**16
_LOCATOR, _LOCATOR_BYTES = b"PK\6\7", 20
_END_64, _RECORD_64_BYTES = b"PK\6\6", 56 + _LOCATOR_BYTES
_ENTRY = b"PK\1\2"
_MAX_DIRECTORY = 32 * 2**20
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> Path:
    """Unpack a zip or tar archive (plain, gz, bz2, xz) into a new folder.

    Everything goes into a temporary folder first, which takes its name when it is complete.
    Archives inside the archive are left packed.

    Args:
        archive: the file; its content says what it is, not its name.
        folder: a folder that does not exist yet.
        max_bytes: most bytes that come out.
        max_files: most files that come out, and most folders.

    Returns:
        The folder.

    Raises:
        ArchiveError: not an archive, damaged, encrypted, too large, or it holds what no data set
            needs (paths that lead out of the folder, links, devices, two files of one name).
        UserError: the archive cannot be read or the folder cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise UserError(
            f"{folder}: is there already; remove it, or unpack {archive.name} elsewhere"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        with _one_line_errors(archive):
            _extract(archive, temporary / "content", max_bytes, max_files)
        os.replace(temporary / "content", folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _extract(archive: Path, target: Path, max_bytes: int, max_files: int) -> None:
    target.mkdir()
    packed = archive.stat().st_size
    limit = min(max_bytes, max(packed * MAX_RATIO, _RATIO_FREE_BYTES))
    digests: set[bytes] = set()
    folders: set[Path] = {target}
    written = 0
    for name, stream in _members(archive, max_files, limit):
        relative = _safe_path(name)
        path = target / relative
        # Where file names ignore case, the second of "a.obj" and "A.OBJ" would replace the first.
        # A hash of it, since a hundred thousand long names are a hundred megabytes.
        text = relative.as_posix().casefold().encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(text, digest_size=16).digest()
        if key in digests:
            raise _RefusedError(f"holds two files named {name!r}")
        digests.add(key)
        if len(digests) > max_files:
            raise _RefusedError(f"holds more than {max_files:,} files")
        missing = []
        for folder in path.parents:
            if folder in folders:
                break
            missing.append(folder)
        folders.update(missing)
        if len(folders) - 1 > max_files:
            raise _RefusedError(f"holds more than {max_files:,} folders")
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
        with stream, path.open("xb") as out:
            while chunk := stream.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise _too_large(limit)
                out.write(chunk)


def _too_large(limit: int) -> _RefusedError:
    return _RefusedError(f"unpacks to more than {limit:,} bytes")


def _members(archive: Path, max_files: int, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Iterate over the regular files of an archive: name and open content."""
    if zipfile.is_zipfile(archive):
        with open_zip(archive, 2 * max_files) as opened:
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.flag_bits & 1:
                    raise _RefusedError(
                        f"is encrypted ({info.filename!r}); unpack it yourself and give the folder"
                    )
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _RefusedError(f"holds a link or a device ({info.filename!r})")
                if info.compress_type not in _COMPRESSIONS:
                    raise _RefusedError(f"packs {info.filename!r} in a way that is not read")
                _safe_path(info.filename)
                if not info.is_dir():
                    yield info.filename, opened.open(info)
        return
    # Every member has some kilobytes of headers at most.
    tar_limit = limit + 4096 * 2 * max_files
    with _LimitedTar.open(archive, limit=tar_limit) as tar:  # type: ignore[call-overload]
        for index, member in enumerate(iter(tar.next, None)):
            tar.members = []  # or what was read would be kept
            if index >= 2 * max_files:
                raise _RefusedError(f"holds more than {2 * max_files:,} files and folders")
            _safe_path(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _RefusedError(f"holds a link or a device ({member.name!r})")
            stream = tar.extractfile(member)
            assert stream is not None
            yield member.name, stream
        # The end of a compressed stream holds its checksum; tarfile itself stops before it.
        for _ in range(_MAX_TRAILER // _CHUNK):
            if not tar.fileobj or not tar.fileobj.read(_CHUNK):
                break


class _LimitedTar(tarfile.TarFile):
    """A tar archive that is read in small pieces and up to a limit.

    `tarfile` reads a header's extension at once, whatever length it claims.
    """

    def __init__(
        self, name: Any, mode: Any = "r", fileobj: Any = None, *, limit: int, **options: Any
    ) -> None:
        file = fileobj if fileobj is not None else Path(name).open("rb")  # noqa: SIM115
        try:
            super().__init__(name, mode, _LimitedReader(file, limit), **options)  # type: ignore[arg-type]
        except BaseException:
            file.close()
            raise
        self._extfileobj = False  # closed with the archive


class _LimitedReader:
    """File wrapper that refuses large reads and reads beyond `limit` bytes."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._limit = file, limit

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise _RefusedError(f"holds a header of {size:,} bytes")
        data = self._file.read(size)
        if self._file.tell() > self._limit:
            raise _too_large(self._limit)
        return data

    def seek(self, position: int) -> int:
        if position > self._limit:
            raise _too_large(self._limit)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def open_zip(archive: Path | IO[bytes], max_members: int) -> zipfile.ZipFile:
    """Open a zip archive after its central directory is checked.

    `zipfile` reads that table whole and makes an object of some kilobytes of each entry.

    Args:
        archive: a file, or its open content.
        max_members: most entries.

    Raises:
        zipfile.BadZipFile: no zip archive, or more entries.
        OSError: it cannot be read.
    """
    if isinstance(archive, Path):
        with archive.open("rb") as file:
            _check_directory(file, max_members)
    else:
        _check_directory(archive, max_members)
    return zipfile.ZipFile(archive)


def _check_directory(file: IO[bytes], max_members: int) -> None:
    """Refuse a zip archive whose central directory is too large."""
    length = file.seek(0, os.SEEK_END)
    start = max(0, length - _END_BYTES - _MAX_COMMENT - _LOCATOR_BYTES)
    file.seek(start)
    tail = file.read()
    # As zipfile looks for it: at the very end, else before a comment.
    bare = tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0")
    position = len(tail) - _END_BYTES if bare else tail.rfind(_END)
    if position < 0 or len(tail) - position < _END_BYTES:
        return  # zipfile says so
    size, end = int.from_bytes(tail[position + 12 : position + 16], "little"), start + position
    if tail[:position][-_LOCATOR_BYTES:].startswith(_LOCATOR) and end >= _RECORD_64_BYTES:
        # zipfile looks for the record of large archives right before its locator.
        file.seek(end - _RECORD_64_BYTES)
        record = file.read(_RECORD_64_BYTES)
        if record.startswith(_END_64):
            end -= _RECORD_64_BYTES
            size = int.from_bytes(record[40:48], "little")
    if size > _MAX_DIRECTORY:
        raise zipfile.BadZipFile(f"its table of contents has {size:,} bytes")
    file.seek(max(0, end - size))
    count = file.read(size).count(_ENTRY)
    if count > max_members:
        raise zipfile.BadZipFile(f"holds more than {max_members:,} files and folders")
    file.seek(0)


def _safe_path(name: str) -> PurePosixPath:
    """The relative path of a member; refuses one that leaves the folder."""
    parts = name.replace("\\", "/").split("/")
    bad = (
        not name
        or name.startswith(("/", "\\"))
        or ".." in parts
        or ":" in parts[0]
        or not name.isprintable()
        or len(parts) > _MAX_DEPTH
        or max(_num_bytes(name) / _MAX_NAME_BYTES, *(_num_bytes(part) / 255 for part in parts)) > 1
    )
    if bad:
        raise _RefusedError(
            f"holds a path that leads out of its folder or cannot be a name ({name[:80]!r})"
        )
    return PurePosixPath(*[part for part in parts if part not in ("", ".")] or ["."])


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


class ArchiveError(UserError):
    """The archive itself is bad: it should not be kept."""


class _RefusedError(Exception):
    """Internal: the archive holds something that is not unpacked."""


@contextlib.contextmanager
def _one_line_errors(archive: Path) -> Iterator[None]:
    """Raise every error of reading an archive as one line."""
    try:
        yield
    except _RefusedError as error:
        raise ArchiveError(f"{archive}: the archive {error}; nothing was unpacked") from None
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArchiveError(
            f"{archive}: not a zip or tar archive, or a damaged one ({reason}); download it again"
        ) from None
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error.strerror or error})") from None
