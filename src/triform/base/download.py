"""Downloads that resume, check what they get, and never leave half a file under its final name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from triform.base.errors import UserError
from triform.base.logging import get_logger

logger = get_logger(__name__)

_CHUNK = 2**18
_TIMEOUT = 60.0
_ATTEMPTS = 4


def download(
    url: str, path: str | Path, *, sha256: str | None = None, size: int | None = None
) -> Path:
    """Downloads a file; a later call goes on where an interrupted one stopped.

    What has arrived is kept beside the target as ``NAME.part`` until it is complete and checked.

    Args:
        url: http or https address.
        path: where the file shall be; a file that is there (and passes the checks) is kept.
        sha256: hexadecimal checksum, where it is known.
        size: bytes, where they are known.

    Returns:
        The path.

    Raises:
        UserError: the server's refusal, a wrong size or checksum (the part is then removed), or a
            connection that broke (the part is then kept for the next call).
    """
    path = Path(path)
    if not url.lower().startswith(("http://", "https://")):
        raise UserError(f"{url}: only http:// and https:// addresses can be downloaded")
    if path.is_file():
        problem = _problem(path, sha256, size)
        if not problem:
            return path
        logger.warning("%s: %s; it is downloaded again", path, problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _reported(url, part):
        _fetch(url, part, size, sha256 is not None)
    if problem := _problem(part, sha256, size):
        part.unlink()
        raise UserError(
            f"{url}: {problem}; the download is thrown away, try again later or report the address"
        )
    with part.open("rb+") as stream:
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


def _fetch(url: str, part: Path, size: int | None, checked: bool) -> None:
    """Brings ``part`` to completeness, as long as every attempt brings something."""
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(url, part, size, checked)
            return
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            after = part.stat().st_size if part.exists() else 0
            if attempt + 1 == _ATTEMPTS or after <= before:
                raise
            logger.info("%s: connection lost at %d bytes (%s), going on", url, after, error)


def _attempt(url: str, part: Path, size: int | None, checked: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have >= size:
        if have == size:
            return
        part.unlink()
        have = 0
    mark = _validator(part).read_text("utf-8") if have and _validator(part).exists() else ""
    headers = {"User-Agent": "triform", "Accept-Encoding": "identity"}
    # Only a version mark or a checksum tells whether the server's file is still the same.
    if have and (mark or checked):
        headers["Range"] = f"bytes={have}-"
    if have and mark:
        headers["If-Range"] = mark
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what we have: start anew
            part.unlink()
            return _attempt(url, part, size, checked)
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
        start = have if resumed else 0
        left = _length(response.headers.get("Content-Length"))
        total = size if size is not None else None if left is None else start + left
        if size is not None and left is not None and start + left != size:
            raise ValueError(f"the server's file has {start + left:,} bytes, {size:,} are expected")
        tag = response.headers.get("ETag", "")
        new_mark = (
            tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        )
        _validator(part).write_text(new_mark, "utf-8")
        bar = tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=part.name.removesuffix(".part"),
            disable=None,
        )
        with part.open("r+b" if resumed else "wb") as stream, bar:
            stream.seek(start)
            got = 0
            while chunk := response.read(_CHUNK):
                got += len(chunk)
                if total is not None and start + got > total:
                    raise ValueError(f"more than the {total:,} bytes that were promised arrive")
                stream.write(chunk)
                bar.update(len(chunk))
        if left is not None and got < left:
            raise http.client.IncompleteRead(b"", left - got)


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
