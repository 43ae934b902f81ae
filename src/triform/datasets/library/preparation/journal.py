"""Journal of a preparation: a process killed at any time loses only the objects in progress.

A worker writes a small note for every object that it has finished (or that failed), after all of
its files. The tables (`metadata.json`, `captions.csv`, `failed.csv`) are rewritten from time to
time and at the end; the notes that are in them are then removed. Objects that will be made again
are moved from `metadata.json` to a file of pending objects before the first of their files changes;
the next run restores those that were not reached.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pydantic

from triform.base.errors import UserError
from triform.datasets.library.ids import id_problem, path_problem
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
# Object ids have no dots, so that no note has this name.
_PENDING = f"{FOLDER}/waiting.objects.json"
_MAX_NOTE_BYTES = 16 * 2**20
_COLUMNS = ("object_id", "source", "reason", "key")


@dataclass(frozen=True)
class Note:
    """State of an object: prepared, failed, or (neither) started.

    Attributes:
        object_id: name in the library.
        entry: the prepared object, or None.
        captions: (caption, language) pairs of its source.
        reason: of the failure, or "".
        source: id in the data set, of an object that failed.
        key: digest of mesh and settings; another attempt is made when it changes.
    """

    object_id: str
    entry: LibraryObject | None = None
    captions: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    source: str = ""
    key: str = ""


def write_note(store: Store, note: Note) -> None:
    """Write the note of an object; called by the worker."""
    entry = None if note.entry is None else note.entry.model_dump(mode="json")
    text = json.dumps(
        {
            "object": entry,
            "captions": note.captions,
            "reason": note.reason,
            "source": note.source,
            "key": note.key,
        }
    )
    store.write_bytes(_path(note.object_id), text.encode())


class Journal:
    """Tables of a library during its preparation.

    Attributes:
        store: the library's files.
        objects: id -> object, of those whose files are complete.
        captions: captions of each object.
        failed: id -> note with the reason.
    """

    def __init__(self, store: Store) -> None:
        """Read the tables and the notes that are newer.

        Raises:
            UserError: a table cannot be read.
        """
        self.store = store
        self.objects = read_metadata(store) or {}
        self.captions: Captions = read_captions(store)
        self.failed = _read_failed(store)
        self._note_paths: set[str] = set()
        self.read_notes()

    def read_notes(self) -> None:
        """Add all notes, and restore pending objects that were not reached."""
        for object_id, entry in (read_metadata(self.store, _PENDING) or {}).items():
            if object_id not in self.failed:
                self.objects.setdefault(object_id, entry)
        for path in sorted(self.store.sizes(FOLDER)):
            if path != _PENDING and not path_problem(path):
                self.add(_read_note(self.store, path))
        # Those of version 0 were moved before; notes may still name the old paths.
        self.objects = {name: entry.with_current_paths() for name, entry in self.objects.items()}

    def add(self, note: Note) -> None:
        """Add one note."""
        self._note_paths.add(_path(note.object_id))
        self.failed.pop(note.object_id, None)
        if note.entry is not None:
            self.objects[note.object_id] = note.entry
            if not self.captions.get(note.object_id):
                self.captions[note.object_id] = list(note.captions)
            return
        self.objects.pop(note.object_id, None)
        if note.reason:
            self.failed[note.object_id] = note

    def mark_pending(self, object_ids: Iterable[str]) -> None:
        """Move objects that will be made again from `metadata.json` to the pending ones."""
        pending = {name: self.objects.pop(name) for name in object_ids if name in self.objects}
        if pending:
            self.store.write_bytes(_PENDING, metadata_bytes(pending))
        else:
            self.store.remove(_PENDING)
        if pending or self._note_paths:
            self.save()

    def save(self) -> None:
        """Write the tables, each atomically, and remove the notes that are in them."""
        captions = {name: rows for name, rows in self.captions.items() if name in self.objects}
        failed = [
            (name, note.source, note.reason, note.key) for name, note in sorted(self.failed.items())
        ]
        for object_id, entry in self.objects.items():
            counts: dict[str, int] = {}
            for _, language in captions.get(object_id, ()):
                counts[language] = counts.get(language, 0) + 1
            counts = dict(sorted(counts.items()))
            if counts != entry.captions:
                self.objects[object_id] = entry.model_copy(update={"captions": counts})
        self.store.write_bytes(CAPTIONS, captions_bytes(captions))
        self.store.write_bytes(FAILED, csv_bytes(_COLUMNS, failed))
        self.store.write_bytes(METADATA, metadata_bytes(self.objects))
        for path in sorted(self._note_paths):
            self.store.remove(path)
        self._note_paths.clear()

    def close(self) -> None:
        """Write the tables for the last time and remove the journal."""
        self.save()
        self.store.remove(_PENDING)
        self.store.remove_folder(FOLDER)


def _path(object_id: str) -> str:
    return f"{FOLDER}/{object_id}.json"


def _read_note(store: Store, path: str) -> Note:
    object_id = path.rpartition("/")[2].removesuffix(".json")
    try:
        data = json.loads(store.read_bytes(path, _MAX_NOTE_BYTES))
        entry = data["object"]
        note = Note(
            object_id,
            entry=None if entry is None else LibraryObject(**entry),
            captions=tuple((caption, language) for caption, language in data["captions"]),
            reason=data["reason"],
            source=data["source"],
            key=data["key"],
        )
    except (ValueError, KeyError, TypeError, RecursionError, pydantic.ValidationError):
        return Note(object_id)  # cut off by a power failure: the object is made again
    texts = (note.reason, note.source, note.key, *(text for pair in note.captions for text in pair))
    is_consistent = note.entry is None or note.entry.object_id == object_id
    return (
        note if is_consistent and all(isinstance(text, str) for text in texts) else Note(object_id)
    )


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
        fault = next(
            (f"{object_id[:120]!r} {why}" for object_id in notes if (why := id_problem(object_id))),
            "",
        )
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError):
        raise UserError(f"{name}: not a table of this program; move it away") from None
    if fault:
        raise UserError(f"{name}: the id {fault}; mend or remove its row")
    return notes
