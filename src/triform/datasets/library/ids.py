"""Names of objects that are safe as parts of file names on every system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

# In bytes; file systems allow 255, and `_view1000.depth.png` and temporary names come on top.
LONGEST = 120
# Room for "-" and the digest that tells names apart.
_DIGEST = 8


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
