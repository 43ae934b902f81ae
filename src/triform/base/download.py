"""Download files: resumable, checked, and never half a file under the final name."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from triform.base.addresses import PUBLIC, Policy, opener
from triform.base.checksum import file_sha256
from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular, refuse_special, set_default_mode
from triform.base.logging import get_logger
from triform.base.printable import printable
from triform.base.progress import progress_bar

logger = get_logger(__name__)

_CHUNK = 2**18
_TIMEOUT = 60.0
_ATTEMPTS = 4
MAX_BYTES = 16 * 2**30
_MAX_VALIDATOR = 2**16


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    max_bytes: int = MAX_BYTES,
    policy: Policy = PUBLIC,
) -> Path:
    """Download a file; a later call resumes an interrupted one.

    The data is kept beside the target as `NAME.part` until it is complete and checked. The part is
    never a link and never another user's file.

    Args:
        url: https address; redirects must lead to https and to public machines too.
        path: target; an existing file that passes the checks is kept.
        sha256: hexadecimal checksum, if known.
        size: number of bytes, if known.
        max_bytes: most bytes to accept if the size is not known.
        policy: allowed addresses.

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
        problem = _mismatch(path, sha256, size)
        if not problem:
            return path
        logger.warning("%s: %s; it is downloaded again", path, problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    refuse_special(part)
    _discard_foreign(part)
    with _download_errors(url, part):
        _fetch(_Download(url, part, size, sha256 is not None, max_bytes, policy))
    if problem := _mismatch(part, sha256, size):
        part.unlink()
        _validator_file(part).unlink(missing_ok=True)
        raise UserError(
            f"{url}: {problem}; the download is thrown away, try again later or report the address"
        )
    with part.open("rb+") as stream:
        set_default_mode(stream.fileno(), part)
        os.fsync(stream.fileno())
    os.replace(part, path)
    _validator_file(part).unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _download_errors(url: str, part: Path) -> Iterator[None]:
    """Raise errors of the network as one line."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise UserError(
            f"{url}: the server answered {error.code} {error.reason}; check the address"
        ) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        size_on_disk = part.stat().st_size if part.exists() else 0
        advice = (
            f"; {size_on_disk:,} bytes are kept, the same command goes on from there"
            if size_on_disk
            else "; check the connection"
        )
        raise UserError(f"{url}: the download failed: {reason}{advice}") from None


@dataclass(frozen=True)
class _Download:
    """One download: address, target and limits."""

    url: str
    part: Path
    size: int | None
    checked: bool
    max_bytes: int
    policy: Policy


def _fetch(job: _Download) -> None:
    """Complete the part, as long as every attempt makes progress."""
    part = job.part
    for attempt in range(_ATTEMPTS):
        size_before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(job)
            return
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            size_after = part.stat().st_size if part.exists() else 0
            if attempt + 1 == _ATTEMPTS or size_after <= size_before:
                raise
            logger.info(
                "%s: connection lost at %d bytes (%s), going on", job.url, size_after, error
            )


def _attempt(job: _Download) -> None:
    part, size = job.part, job.size
    size_on_disk = part.stat().st_size if part.exists() else 0
    if size is not None and size_on_disk >= size:
        if size_on_disk == size:
            return
        part.unlink()
        size_on_disk = 0
    validator = _read_validator(part) if size_on_disk else ""
    headers = {"User-Agent": "triform", "Accept-Encoding": "identity"}
    # Only a validator or a checksum tells whether the server's file is still the same.
    if size_on_disk and (validator or job.checked):
        headers["Range"] = f"bytes={size_on_disk}-"
    if size_on_disk and validator:
        headers["If-Range"] = validator
    request = urllib.request.Request(job.url, headers=headers)
    try:
        response = opener(job.policy).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and size_on_disk:  # nothing lies beyond what we have: start again
            part.unlink()
            return _attempt(job)
        raise
    with response:
        resumed = (
            response.status == 206
            and _range_start(response.headers.get("Content-Range", "")) == size_on_disk
        )
        if response.status == 206 and not resumed:
            content_range = response.headers.get("Content-Range")
            raise http.client.HTTPException(
                f"requested bytes from {size_on_disk} on, received {content_range!r}"
            )
        _receive(response, job, size_on_disk if resumed else 0)


def _receive(response: http.client.HTTPResponse, job: _Download, start: int) -> None:
    """Write a response into the part from an offset on, within the limits."""
    part, size = job.part, job.size
    remaining = _length(response.headers.get("Content-Length"))
    total = size if size is not None else None if remaining is None else start + remaining
    if size is not None and remaining is not None and start + remaining != size:
        raise ValueError(
            f"the server's file has {start + remaining:,} bytes, {size:,} are expected"
        )
    limit = job.max_bytes if size is None else size
    if total is not None and total > limit:
        raise ValueError(f"the server's file has {total:,} bytes, more than {limit:,}")
    tag = response.headers.get("ETag", "")
    new_validator = (
        tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    )
    with atomic_write(_validator_file(part)) as file:
        file.write(new_validator[:_MAX_VALIDATOR].encode("utf-8", "replace"))
    bar = progress_bar(
        desc=printable(part.name.removesuffix(".part")),
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
    )
    with _open_part(part, start) as stream, bar:
        received = 0
        while chunk := response.read(_CHUNK):
            received += len(chunk)
            if total is not None and start + received > total:
                raise ValueError(f"more than the {total:,} bytes that were promised arrive")
            if start + received > limit:
                raise ValueError(f"more than {limit:,} bytes arrive")
            stream.write(chunk)
            bar.update(len(chunk))
    if remaining is not None and received < remaining:
        raise http.client.IncompleteRead(b"", remaining - received)


def _discard_foreign(part: Path) -> None:
    """Remove a part of another user, who could change it after it was checked."""
    try:
        status = part.lstat()
    except OSError:
        return
    belongs_to_user = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not belongs_to_user or status.st_nlink != 1:
        part.unlink()


def _open_part(part: Path, start: int) -> IO[bytes]:
    """Open the part to write from an offset on; a new one is created private."""
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


def _read_validator(part: Path) -> str:
    """The validator of a part, "" if there is none."""
    if not _validator_file(part).exists():
        return ""
    text = read_regular(_validator_file(part), _MAX_VALIDATOR).decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""


def _validator_file(part: Path) -> Path:
    """File of the validator (ETag or date): which version the part belongs to."""
    return part.with_name(f"{part.name}.version")


def _range_start(content_range: str) -> int:
    try:
        unit, _, rest = content_range.partition(" ")
        return int(rest.split("-")[0]) if unit == "bytes" else -1
    except ValueError:
        return -1


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _mismatch(path: Path, sha256: str | None, size: int | None) -> str:
    """How a file differs from what is expected, or ""."""
    size_on_disk = path.stat().st_size
    if size is not None and size_on_disk != size:
        return f"it has {size_on_disk:,} bytes, {size:,} are expected"
    if sha256 is not None and (digest := file_sha256(path)) != sha256.lower():
        return f"its sha256 is {digest}, {sha256.lower()} is expected"
    return ""
