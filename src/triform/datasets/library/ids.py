"""Object ids and file paths that are safe on every operating system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

# File systems allow 255 bytes; suffixes like `_view1000.depth.png` (version 0) and temporary names
# are added.
MAX_ID_BYTES = 120
# Letters of the digest that makes a name unique.
_DIGEST_LENGTH = 8
# Limits of file systems for a part of a path, and ours for all of it.
_MAX_PART_BYTES, _MAX_PATH_BYTES = 255, 1024
# Control characters, line and paragraph separators, direction marks and lone surrogates.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")


def safe_id(source: str) -> str:
    """Library id from a data set's id: letters of any alphabet, digits, `-` and `_`.

    No dots, so that `points/ID.colors.npy` of version 0 cannot be the points of another object.
    """
    text = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", source))
    text = re.sub(r"-{2,}", "-", text).strip("-") or "object"
    if len(text.encode()) > MAX_ID_BYTES:
        cut = text.encode()[: MAX_ID_BYTES - _DIGEST_LENGTH - 1].decode("utf-8", "ignore")
        text = f"{cut}-{_digest(source)}"
    return text


def path_problem(path: str) -> str:
    """Why a path inside a library is unsafe; "" if it is safe.

    A path from a table is read, written or removed only if it is safe: relative, with forward
    slashes, without parts that are empty or lead upwards.
    """
    if not path:
        return "is empty"
    if _UNPRINTABLE.search(path):
        return "has control characters"
    if "\\" in path:
        return "has a backslash"
    if path[0] in "/~" or _DRIVE.match(path):
        return "is not relative to the library"
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "has a part that is empty, . or .."
    if len(path.encode()) > _MAX_PATH_BYTES or any(
        len(part.encode()) > _MAX_PART_BYTES for part in parts
    ):
        return "is too long"
    return ""


def id_problem(object_id: str) -> str:
    """Why an id cannot be part of a file name; "" if it can."""
    return "has a slash" if "/" in object_id else path_problem(object_id)


def assign_ids(sources: Iterable[str], existing: Mapping[str, str]) -> dict[str, str]:
    """Unique ids of objects, also on file systems that ignore case.

    Args:
        sources: ids in the data set, in a fixed order.
        existing: source -> id of the objects in the library; they keep their ids.

    Returns:
        source -> id.
    """
    used = {name.casefold() for name in existing.values()}
    names: dict[str, str] = {}
    for source in sources:
        name = existing.get(source)
        if name is None:
            name = safe_id(source)
            if name.casefold() in used:
                cut = name.encode()[: MAX_ID_BYTES - _DIGEST_LENGTH - 1].decode("utf-8", "ignore")
                name = f"{cut}-{_digest(source)}"
            used.add(name.casefold())
        names[source] = name
    return names


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
