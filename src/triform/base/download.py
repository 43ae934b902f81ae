"""Downloads that resume, check what they get, and never leave half a file under its final name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from triform.base.addresses import PUBLIC, Policy, opener
from triform.base.errors import UserError
from triform.base.files import atomic_write, give_usual_mode, read_regular, refuse_special
from triform.base.logging import get_logger
from triform.base.printable import printable

logger = get_logger(__name__)

_CHUNK = 2**18
_TIMEOUT = 60.0
_ATTEMPTS = 4
MAX_BYTES = 16 * 2**30
_MAX_MARK = 2**16


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    max_bytes: int = MAX_BYTES,
    policy: Policy = PUBLIC,
) -> Path:
    """Downloads a file; a later call goes on where an interrupted one stopped.

    What has arrived is kept beside the target as ``NAME.part`` until it is complete and checked.
    The part is never a link and never somebody else's file.

    Args:
        url: https address; redirects lead to https as well, and to public machines only.
        path: where the file shall be; a file that is there (and passes the checks) is kept.
        sha256: hexadecimal checksum, where it is known.
        size: bytes, where they are known.
        max_bytes: most bytes that are taken where the size is not known.
        policy: what may be connected to.

    Returns:
        The path.

    Raises:
        UserError: an address or a redirect that is not allowed, the server's refusal, a wrong size
            or checksum (the part is then removed), or a connection that broke (the part is then
            kept for the next call).
    """
    path = Path(path)
    policy.check_url(url)
    refuse_special(path)
    if path.is_file():
        problem = _problem(path, sha256, size)
        if not problem:
            return path
        logger.warning("%s: %s; it is downloaded again", path, problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    refuse_special(part)
    _discard_foreign(part)
    with _reported(url, part):
        _fetch(_Wanted(url, part, size, sha256 is not None, max_bytes, policy))
    if problem := _problem(part, sha256, size):
        part.unlink()
        _validator(part).unlink(missing_ok=True)
        raise UserError(
            f"{url}: {problem}; the download is thrown away, try again later or report the address"
        )
    with part.open("rb+") as stream:
        give_usual_mode(stream.fileno(), part)
        os.fsync(stream.fileno())
    os.replace(part, path)
    _validator(part).unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _reported(url: str, part: Path) -> Iterator[None]:
    """Says in one line what went wrong on the way."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{url}: the server answered {error.code} {error.reason}; check the address"
        ) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        have = part.stat().st_size if part.exists() else 0
        kept = (
            f"; {have:,} bytes are kept, the same command goes on from there"
            if have
            else "; check the connection"
        )
        raise UserError(f"{url}: the download failed: {reason}{kept}") from None


@dataclass(frozen=True)
class _Wanted:
    """What is downloaded, where to, and under which conditions."""

    url: str
    part: Path
    size: int | None
    checked: bool
    max_bytes: int
    policy: Policy


def _fetch(wanted: _Wanted) -> None:
    """Brings the part to completeness, as long as every attempt brings something."""
    part = wanted.part
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(wanted)
            return
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            after = part.stat().st_size if part.exists() else 0
            if attempt + 1 == _ATTEMPTS or after <= before:
                raise
            logger.info("%s: connection lost at %d bytes (%s), going on", wanted.url, after, error)


def _attempt(wanted: _Wanted) -> None:
    part, size = wanted.part, wanted.size
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have >= size:
        if have == size:
            return
        part.unlink()
        have = 0
    mark = _read_mark(part) if have else ""
    headers = {"User-Agent": "triform", "Accept-Encoding": "identity"}
    # Only a version mark or a checksum tells whether the server's file is still the same.
    if have and (mark or wanted.checked):
        headers["Range"] = f"bytes={have}-"
    if have and mark:
        headers["If-Range"] = mark
    request = urllib.request.Request(wanted.url, headers=headers)
    try:
        response = opener(wanted.policy).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what we have: start anew
            part.unlink()
            return _attempt(wanted)
        raise
    with response:
        resumed = (
            response.status == 206
            and _range_start(response.headers.get("Content-Range", "")) == have
        )
        if response.status == 206 and not resumed:
            raise http.client.HTTPException(
                f"asked for bytes from {have} on, got {response.headers.get('Content-Range')!r}"
            )
        _receive(response, wanted, have if resumed else 0)


def _receive(response: http.client.HTTPResponse, wanted: _Wanted, start: int) -> None:
    """Writes what a server sends into the part, from a place on, within the limits."""
    part, size = wanted.part, wanted.size
    left = _length(response.headers.get("Content-Length"))
    total = size if size is not None else None if left is None else start + left
    if size is not None and left is not None and start + left != size:
        raise ValueError(f"the server's file has {start + left:,} bytes, {size:,} are expected")
    most = wanted.max_bytes if size is None else size
    if total is not None and total > most:
        raise ValueError(f"the server's file has {total:,} bytes, more than {most:,}")
    tag = response.headers.get("ETag", "")
    new_mark = (
        tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    )
    with atomic_write(_validator(part)) as file:
        file.write(new_mark[:_MAX_MARK].encode("utf-8", "replace"))
    bar = tqdm(
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=printable(part.name.removesuffix(".part")),
        disable=None,
    )
    with _open_part(part, start) as stream, bar:
        got = 0
        while chunk := response.read(_CHUNK):
            got += len(chunk)
            if total is not None and start + got > total:
                raise ValueError(f"more than the {total:,} bytes that were promised arrive")
            if start + got > most:
                raise ValueError(f"more than {most:,} bytes arrive")
            stream.write(chunk)
            bar.update(len(chunk))
    if left is not None and got < left:
        raise http.client.IncompleteRead(b"", left - got)


def _discard_foreign(part: Path) -> None:
    """Removes a part that is not ours alone: somebody could change it after it was checked."""
    try:
        there = part.lstat()
    except OSError:
        return
    is_ours = not hasattr(os, "getuid") or there.st_uid == os.getuid()
    if not is_ours or there.st_nlink != 1:
        part.unlink()


def _open_part(part: Path, start: int) -> IO[bytes]:
    """Opens the part to write from a place on; a new one is private and new indeed."""
    flags = os.O_RDWR | sum(
        getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    )
    if not start:
        part.unlink(missing_ok=True)
        flags |= os.O_CREAT | os.O_EXCL
    stream = os.fdopen(os.open(part, flags, 0o600), "r+b")
    stream.truncate(start)
    stream.seek(start)
    return stream


def _read_mark(part: Path) -> str:
    """The version mark of a part, "" where there is none."""
    if not _validator(part).exists():
        return ""
    text = read_regular(_validator(part), _MAX_MARK).decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""


def _validator(part: Path) -> Path:
    """Remembers which version of the server's file the part belongs to."""
    return part.with_name(f"{part.name}.version")


def _range_start(content_range: str) -> int:
    try:
        unit, _, rest = content_range.partition(" ")
        return int(rest.split("-")[0]) if unit == "bytes" else -1
    except ValueError:
        return -1


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _problem(path: Path, sha256: str | None, size: int | None) -> str:
    """What is wrong with a file, or "" where nothing is."""
    have = path.stat().st_size
    if size is not None and have != size:
        return f"it has {have:,} bytes, {size:,} are expected"
    if sha256 is not None:
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != sha256.lower():
            return f"its sha256 is {digest.hexdigest()}, {sha256.lower()} is expected"
    return ""
