"""What a system adds to its pages: examples to click, and its texts in Russian.

Both are in the file `demo.json` of its folder, which it may leave out:

    {"examples": {VERB: [{"en": TITLE, "ru": TITLE, "settings": {NAME: VALUE}}]},
     "russian": {TEXT: TRANSLATION}}

Texts that two systems or more have in common, such as those of the engine, are in `russian.json`
beside this module. A text without a translation stays English.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from triform import systems
from triform.base.plain_data import read_json

FILE = "demo.json"
SHARED = Path(__file__).parent / "russian.json"
MAX_BYTES = 1_000_000


def examples(system: str, verb: str, language: str) -> list[dict[str, Any]]:
    """Examples of a verb; each has `title` and `settings` as a page would send them."""
    rows = _demo(system).get("examples", {}).get(verb, [])
    return [{"title": row[language], "settings": row["settings"]} for row in rows]


def translated(text: str, system: str, language: str) -> str:
    """A hint or a description in a language; English where there is no translation."""
    if language == "en":
        return text
    found = _demo(system).get("russian", {}).get(text) or _shared().get(text, text)
    return str(found)


@functools.cache
def _demo(system: str) -> dict[str, Any]:
    path = systems.load(system).folder / FILE
    content: dict[str, Any] = read_json(path, MAX_BYTES) if path.is_file() else {}
    return content


@functools.cache
def _shared() -> dict[str, str]:
    content: dict[str, str] = read_json(SHARED, MAX_BYTES)
    return content
