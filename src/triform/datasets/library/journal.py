"""What is done, noted so that a preparation killed at any moment loses only what was in flight.

A worker writes a small note for every object that it has finished (or refused), after all its
files. The tables (`metadata.json`, `captions.csv`, `failed.csv`) are written anew now and then and
at the end; the notes that are in them are then removed. Objects that are going to be made again
leave `metadata.json` before the first of their files changes; until their turn comes they wait in a
file of their own, from which a stopped run takes them back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pydantic

from triform.base.errors import UserError
from triform.datasets.library.ids import id_fault, path_fault
from triform.datasets.library.layout import (
    CAPTIONS,
    FAILED,
    METADATA,
    Captions,
    LibraryObject,
    captions_bytes,
    csv_bytes,
    metadata_bytes,
    read_captions,
    read_metadata,
    read_table,
)
from triform.datasets.library.store import Store

FOLDER = ".journal"
# Dots in object ids are not possible, so that no note has this name.
_WAITING = f"{FOLDER}/waiting.objects.json"
_LARGEST_NOTE = 16 * 2**20
_COLUMNS = ("object_id", "source", "reason", "key")


@dataclass(frozen=True)
class Note:
    """What happened to an object: made, refused, or (neither) begun.

    Attributes:
        object_id: its name.
        item: the object, where it was made.
        captions: (caption, language) pairs of its source.
        reason: why it was refused.
        source: its id in its data set, where it was refused.
        key: changes when it is worth another attempt.
    """

    object_id: str
    item: LibraryObject | None = None
    captions: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    source: str = ""
    key: str = ""


def write_note(store: Store, note: Note) -> None:
    """Note what happened to an object; called by whoever made it."""
    entry = None if note.item is None else note.item.model_dump(mode="json")
    text = json.dumps(
        {
            "object": entry, "captions": note.captions,
            "reason": note.reason, "source": note.source, "key": note.key,
        }
    )  # fmt: skip
    store.write_bytes(_path(note.object_id), text.encode())


class Journal:
    """The tables of a library under preparation.

    Attributes:
        store: where they are.
        objects: id -> object, of those whose files are whole.
        captions: id -> (caption, language).
        failed: id -> note with the reason.
    """

    def __init__(self, store: Store) -> None:
        """Read the tables, and what was noted since they were written.

        Raises:
            UserError: a table is there that cannot be read.
        """
        self.store = store
        self.objects = read_metadata(store) or {}
        self.captions: Captions = read_captions(store)
        self.failed = _read_failed(store)
        self._noted: set[str] = set()
        self.absorb()

    def absorb(self) -> None:
        """Take in what is noted, and take back objects that waited and were not touched."""
        for object_id, item in (read_metadata(self.store, _WAITING) or {}).items():
            if object_id not in self.failed:
                self.objects.setdefault(object_id, item)
        for path in sorted(self.store.sizes(FOLDER)):
            if path != _WAITING and not path_fault(path):
                self.add(_read_note(self.store, path))

    def add(self, note: Note) -> None:
        """Take in one note."""
        self._noted.add(_path(note.object_id))
        self.failed.pop(note.object_id, None)
        if note.item is not None:
            self.objects[note.object_id] = note.item
            if not self.captions.get(note.object_id):
                self.captions[note.object_id] = list(note.captions)
            return
        self.objects.pop(note.object_id, None)
        if note.reason:
            self.failed[note.object_id] = note

    def set_aside(self, object_ids: Iterable[str]) -> None:
        """Take objects that will be made again out of `metadata.json`."""
        waiting = {name: self.objects.pop(name) for name in object_ids if name in self.objects}
        if waiting:
            self.store.write_bytes(_WAITING, metadata_bytes(waiting))
        else:
            self.store.remove(_WAITING)
        if waiting or self._noted:
            self.save()

    def save(self) -> None:
        """Write the tables, each whole or not at all, and remove the notes that are in them."""
        captions = {name: rows for name, rows in self.captions.items() if name in self.objects}
        failed = [
            (name, note.source, note.reason, note.key) for name, note in sorted(self.failed.items())
        ]
        for object_id, item in self.objects.items():
            counts: dict[str, int] = {}
            for _, language in captions.get(object_id, ()):
                counts[language] = counts.get(language, 0) + 1
            counts = dict(sorted(counts.items()))
            if counts != item.captions:
                self.objects[object_id] = item.model_copy(update={"captions": counts})
        self.store.write_bytes(CAPTIONS, captions_bytes(captions))
        self.store.write_bytes(FAILED, csv_bytes(_COLUMNS, failed))
        self.store.write_bytes(METADATA, metadata_bytes(self.objects))
        for path in sorted(self._noted):
            self.store.remove(path)
        self._noted.clear()

    def close(self) -> None:
        """Write the tables for the last time; nothing waits any more."""
        self.save()
        self.store.remove(_WAITING)
        self.store.remove_folder(FOLDER)


def _path(object_id: str) -> str:
    return f"{FOLDER}/{object_id}.json"


def _read_note(store: Store, path: str) -> Note:
    object_id = path.rpartition("/")[2].removesuffix(".json")
    try:
        data = json.loads(store.read_bytes(path, _LARGEST_NOTE))
        entry = data["object"]
        note = Note(
            object_id,
            item=None if entry is None else LibraryObject(**entry),
            captions=tuple((caption, language) for caption, language in data["captions"]),
            reason=data["reason"],
            source=data["source"],
            key=data["key"],
        )
    except (ValueError, KeyError, TypeError, RecursionError, pydantic.ValidationError):
        return Note(object_id)  # torn by a power cut: the object is made again
    texts = (note.reason, note.source, note.key, *(text for pair in note.captions for text in pair))
    of_it = note.item is None or note.item.object_id == object_id
    return note if of_it and all(isinstance(text, str) for text in texts) else Note(object_id)


def _read_failed(store: Store) -> dict[str, Note]:
    name = f"{store.root}/{FAILED}"
    data = read_table(store, FAILED)
    if data is None:
        return {}
    try:
        text = data.decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        notes = {
            row["object_id"]: Note(
                row["object_id"], reason=row["reason"], source=row["source"], key=row["key"]
            )
            for row in rows
        }
        fault = next((f"{one[:120]!r} {why}" for one in notes if (why := id_fault(one))), "")
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError):
        raise UserError(f"{name}: not a table of this program; move it away") from None
    if fault:
        raise UserError(f"{name}: the id {fault}; mend or remove its row")
    return notes
