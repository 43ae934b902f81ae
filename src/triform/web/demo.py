"""What a system adds to its pages: examples to click, notes, and its texts in Russian.

All are in the file `demo.json` of its folder, which it may leave out:

    {"examples": {VERB: [{"en": TITLE, "ru": TITLE, "settings": {NAME: VALUE}}]},
     "notes": {VERB: {"en": TEXT, "ru": TEXT}},
     "opens": [PAGE],
     "russian": {TEXT: TRANSLATION},
     "labels": {NAME OF A SETTING OR GROUP: TRANSLATION}}

An example may have `settings_ru`, which change its settings on a Russian page: prompts in Russian
for a system that reads them. A note says what the weights that ship know and what they do not.
A system `opens` the pages that show its verbs first.

Texts that two systems or more have in common, such as those of the engine, are in `russian.json`
and `russian_labels.json` beside this module. A text without a translation stays English.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from triform import systems
from triform.base.plain_data import read_json

FILE = "demo.json"
SHARED = Path(__file__).parent / "russian.json"
SHARED_LABELS = Path(__file__).parent / "russian_labels.json"
MAX_BYTES = 1_000_000


def examples(system: str, verb: str, language: str) -> list[dict[str, Any]]:
    """Examples of a verb; each has `title` and `settings` as a page would send them."""
    rows = _demo(system).get("examples", {}).get(verb, [])
    changes = f"settings_{language}"
    return [
        {"title": row[language], "settings": {**row["settings"], **row.get(changes, {})}}
        for row in rows
    ]


def opens(system: str) -> list[str]:
    """Pages that open with a system."""
    return list(_demo(system).get("opens", []))


def note(system: str, verb: str, language: str) -> str:
    """What somebody should know before they use a verb; empty where there is nothing to say."""
    return str(_demo(system).get("notes", {}).get(verb, {}).get(language, ""))


def translated(text: str, system: str, language: str) -> str:
    """A hint or a description in a language; English where there is no translation."""
    if language == "en":
        return text
    found = _demo(system).get("russian", {}).get(text) or _shared(SHARED).get(text, text)
    return str(found)


def label(name: str, system: str, language: str) -> str:
    """The label of a setting or a group of them in a language, by its name in words."""
    if language == "en":
        return name
    found = _demo(system).get("labels", {}).get(name) or _shared(SHARED_LABELS).get(name, name)
    return str(found)


@functools.cache
def _demo(system: str) -> dict[str, Any]:
    path = systems.load(system).folder / FILE
    content: dict[str, Any] = read_json(path, MAX_BYTES) if path.is_file() else {}
    return content


@functools.cache
def _shared(path: Path) -> dict[str, str]:
    content: dict[str, str] = read_json(path, MAX_BYTES)
    return content
