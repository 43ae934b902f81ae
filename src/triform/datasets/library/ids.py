"""Names of objects and paths of their files that are safe on every system, ours and strangers'."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

# In bytes; file systems allow 255, and `_view1000.depth.png` and temporary names come on top.
LONGEST = 120
# Room for "-" and the digest that tells names apart.
_DIGEST = 8
# What a file system allows for one part of a path, and what is enough for a whole one.
_LONGEST_PART, _LONGEST_PATH = 255, 1024
# Control characters, line and paragraph ends, marks that turn the direction of a text, and halves
# of characters (names that are no text).
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")


def safe_id(source: str) -> str:
    """What a data set's id becomes: letters of any alphabet, digits, `-` and `_`.

    No dots, so that `points/ID.colors.npy` cannot be the points of another object.
    """
    text = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", source))
    text = re.sub(r"-{2,}", "-", text).strip("-") or "object"
    if len(text.encode()) > LONGEST:
        cut = text.encode()[: LONGEST - _DIGEST - 1].decode("utf-8", "ignore")
        text = f"{cut}-{_digest(source)}"
    return text


def path_fault(path: str) -> str:
    """What keeps a path inside a library from being used; "" where nothing does.

    Whatever a table of a stranger names is read, written or removed only where this says nothing:
    relative, forward slashes, no part that leads up or is empty.
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
    if len(path.encode()) > _LONGEST_PATH or any(
        len(part.encode()) > _LONGEST_PART for part in parts
    ):
        return "is too long"
    return ""


def id_fault(object_id: str) -> str:
    """What keeps an id from being a part of file names; "" where nothing does."""
    return "has a slash" if "/" in object_id else path_fault(object_id)


def assign_ids(sources: Iterable[str], taken: Mapping[str, str]) -> dict[str, str]:
    """Give every object a name of its own, whatever the case of its letters.

    Args:
        sources: ids in their data sets, in a fixed order.
        taken: source -> name of the objects that the library has already; they keep theirs.

    Returns:
        source -> name.
    """
    used = {name.casefold() for name in taken.values()}
    names: dict[str, str] = {}
    for source in sources:
        name = taken.get(source)
        if name is None:
            name = safe_id(source)
            if name.casefold() in used:
                cut = name.encode()[: LONGEST - _DIGEST - 1].decode("utf-8", "ignore")
                name = f"{cut}-{_digest(source)}"
            used.add(name.casefold())
        names[source] = name
    return names


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
