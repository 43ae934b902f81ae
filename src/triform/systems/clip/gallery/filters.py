"""Conditions on photos from the flags of a search: folder, date, size, format."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence

from triform.base.errors import UsageError
from triform.base.settings.nearest import nearest
from triform.images.raw import RAW_SUFFIXES
from triform.images.read import KINDS
from triform.images.video import VIDEO_SUFFIXES
from triform.search.conditions import Condition, Range, StartsWith
from triform.systems.clip.gallery.index_file import folder_prefix
from triform.systems.clip.verb_config import SearchConfig

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_OTHER_NAMES = {"JPG": "JPEG", "HEIC": "HEIF", "TIF": "TIFF", "PNM": "PPM"}


def conditions(settings: SearchConfig) -> dict[str, Condition]:
    """Field of a record -> its condition.

    Raises:
        UsageError: A date or a format is none.
    """
    found: dict[str, Condition] = {}
    if settings.folder:
        found["folder"] = StartsWith(folder_prefix(os.path.expanduser(settings.folder)))
    start = date_range("--taken_from", settings.taken_from)[0]
    stop = date_range("--taken_to", settings.taken_to)[1]
    if start or stop:
        found["taken"] = Range(start or None, stop or None)
    for name in ("width", "height"):
        if least := getattr(settings, f"min_{name}"):
            found[name] = Range(least, None)
    if settings.min_bytes or settings.max_bytes:
        found["bytes"] = Range(
            settings.min_bytes or None, settings.max_bytes + 1 if settings.max_bytes else None
        )
    if settings.format:
        found["format"] = [*formats(settings.format)]
    return found


def date_range(flag: str, text: str) -> tuple[str, str]:
    """First moment of a year, month or day, and the first one after it; empty for an empty text.

    Raises:
        UsageError: It is no date.
    """
    if not text:
        return "", ""
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day = match.groups()
        first = datetime.date(int(year), int(month or 1), int(day or 1))
        if day:
            after = first + datetime.timedelta(days=1)
        elif month:
            after = (first + datetime.timedelta(days=31)).replace(day=1)
        else:
            after = first.replace(year=first.year + 1)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{flag} {text}: expected a year, month or day, such as 2024, 2024-05 or 2024-05-31"
        ) from None
    return first.isoformat(), after.isoformat()


def formats(names: Sequence[str]) -> list[str]:
    """Formats as records have them; `raw` and `video` stand for all of theirs.

    Raises:
        UsageError: A format that is not known.
    """
    known = {name: [name] for name in KINDS}
    for group, suffixes in (("RAW", RAW_SUFFIXES), ("VIDEO", VIDEO_SUFFIXES)):
        members = [suffix[1:].upper() for suffix in suffixes]
        known |= {name: [name] for name in members} | {group: members}
    found: list[str] = []
    for name in names:
        upper = name.lstrip(".").upper()
        upper = _OTHER_NAMES.get(upper, upper)
        if upper not in known:
            hint = nearest(upper, known) or f"; known: {', '.join(known)}"
            raise UsageError(f"--format {name}: not known{hint}")
        found += known[upper]
    return list(dict.fromkeys(found))
