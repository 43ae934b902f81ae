"""Unpacking zip and tar archives of strangers: nothing outside the folder, all within limits."""

from __future__ import annotations

import contextlib
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
from typing import IO

from triform.base.errors import UserError

MAX_BYTES = 64 * 2**30
MAX_FILES = 2_000_000
# Meshes as text pack well, a hundredfold at most; what packs better than this is a bomb.
MAX_RATIO = 1000
_RATIO_FREE_BYTES = 64 * 2**20
_CHUNK = 2**20
_MAX_NAME_BYTES = 1024
_MAX_TRAILER = 64 * 2**20


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> Path:
    """Unpacks a zip or tar archive (plain, gz, bz2, xz) into a new folder.

    Everything goes into a temporary folder first, which takes its name when it is complete.
    Archives inside the archive are left packed.

    Args:
        archive: the file; its content says what it is, not its name.
        folder: a folder that does not exist yet.
        max_bytes: most bytes that come out.
        max_files: most files that come out.

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
        with _one_line(archive):
            _extract(archive, temporary / "content", max_bytes, max_files)
        os.replace(temporary / "content", folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _extract(archive: Path, target: Path, max_bytes: int, max_files: int) -> None:
    target.mkdir()
    packed = archive.stat().st_size
    limit = min(max_bytes, max(packed * MAX_RATIO, _RATIO_FREE_BYTES))
    seen: set[str] = set()
    written = 0
    for name, stream in _members(archive, max_files):
        path = target / _safe(name)
        # Where file names ignore case, the second of "a.obj" and "A.OBJ" would replace the first.
        key = path.relative_to(target).as_posix().casefold()
        if key in seen:
            raise _Refused(f"holds two files named {name!r}")
        seen.add(key)
        if len(seen) > max_files:
            raise _Refused(f"holds more than {max_files:,} files")
        path.parent.mkdir(parents=True, exist_ok=True)
        with stream, path.open("xb") as out:
            while chunk := stream.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise _Refused(f"unpacks to more than {limit:,} bytes from {packed:,}")
                out.write(chunk)


def _members(archive: Path, max_files: int) -> Iterator[tuple[str, IO[bytes]]]:
    """The plain files of an archive, one after the other, with their content."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            if len(opened.filelist) > 2 * max_files:
                raise _Refused(f"holds more than {max_files:,} files")
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.flag_bits & 1:
                    raise _Refused(
                        f"is encrypted ({info.filename!r}); unpack it yourself and give the folder"
                    )
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _Refused(f"holds a link or a device ({info.filename!r})")
                _safe(info.filename)
                if not info.is_dir():
                    yield info.filename, opened.open(info)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            _safe(member.name)
            if member.isdir():
                continue
            if not member.isreg():
                raise _Refused(f"holds a link or a device ({member.name!r})")
            stream = tar.extractfile(member)
            assert stream is not None
            yield member.name, stream
        # The end of a compressed stream holds its checksum; tarfile itself stops before it.
        for _ in range(_MAX_TRAILER // _CHUNK):
            if not tar.fileobj or not tar.fileobj.read(_CHUNK):
                break


def _safe(name: str) -> PurePosixPath:
    """The path of a member inside the folder."""
    parts = name.replace("\\", "/").split("/")
    bad = (
        name.startswith(("/", "\\"))
        or ".." in parts
        or ":" in parts[0]
        or not name.isprintable()
        or max(_num_bytes(name) / _MAX_NAME_BYTES, *(_num_bytes(part) / 255 for part in parts)) > 1
    )
    if bad:
        raise _Refused(
            f"holds a path that leads out of its folder or cannot be a name ({name[:80]!r})"
        )
    return PurePosixPath(*[part for part in parts if part not in ("", ".")] or ["."])


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


class ArchiveError(UserError):
    """The archive itself is bad, so that keeping it is of no use."""


class _Refused(Exception):
    """What an archive holds that it should not."""


@contextlib.contextmanager
def _one_line(archive: Path) -> Iterator[None]:
    try:
        yield
    except _Refused as error:
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
