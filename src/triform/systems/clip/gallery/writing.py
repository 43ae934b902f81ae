"""Writes changes into an index: removed, moved, touched and new files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from triform.datasets.images.photos.changes import Changes
from triform.search.base_gallery import Gallery, Record
from triform.systems.clip.gallery.index_file import (
    folder_prefix,
    original_path,
    path_words,
    stored_path,
)
from triform.systems.clip.gallery.journal import Entry

FILES_AT_ONCE = 512


def apply_changes(
    gallery: Gallery,
    records: Mapping[str, Record],
    changes: Changes,
    entries: Sequence[Entry],
    roots: tuple[str, ...],
    encoder: str,
) -> None:
    """Bring a gallery up to date; in memory, until it is saved.

    What is in it afterwards, and in which order, depends on the gallery, the changes and the
    entries alone, not on how often the run was stopped.

    Args:
        gallery: The index.
        records: All of its records.
        changes: Since it was written.
        entries: Files that were embedded, in the order of their paths.
        roots: Folders that were listed.
        encoder: Of the entries.
    """
    renewed = _renewed_entries(gallery, records, changes)
    removed = [
        *map(stored_path, (*changes.removed, *changes.changed, *changes.moved)),
        *(stored_path(file.path) for file in changes.touched),
    ]
    if removed:
        gallery.remove(removed)
    added = [*renewed, *entries]
    for start in range(0, len(added), FILES_AT_ONCE):
        _add(gallery, added[start : start + FILES_AT_ONCE], roots, encoder)


def vector_id(path: str, number: int) -> str:
    """Id of the vector of an image of a file."""
    return f"{path}#{number}"


def _renewed_entries(
    gallery: Gallery, records: Mapping[str, Record], changes: Changes
) -> list[Entry]:
    """Files whose content is in the index under another path or time, with the same vectors."""
    sources = {**changes.moved, **{file.path: file for file in changes.touched}}
    if not sources:
        return []
    ids = defaultdict(list)
    for identity in records:
        ids[identity.rpartition("#")[0]].append(identity)
    entries = []
    for source, file in sorted(sources.items(), key=lambda pair: pair[1].path):
        old = sorted(ids[stored_path(source)], key=lambda each: int(each.rpartition("#")[2]))
        path = stored_path(file.path)
        folder = folder_prefix(os.path.dirname(file.path))
        update = {"path": path, "folder": folder, "modified": file.modified}
        new = [{**records[each], **update} for each in old]
        entries.append(Entry(path, file.size, file.modified, new, gallery.vectors(old)))
    return entries


def _add(gallery: Gallery, entries: Sequence[Entry], roots: tuple[str, ...], encoder: str) -> None:
    groups = [entry.path for entry in entries for _ in entry.records]
    gallery.add(
        [vector_id(entry.path, index) for entry in entries for index in range(len(entry.records))],
        np.concatenate([entry.vectors for entry in entries]),
        [record for entry in entries for record in entry.records],
        encoder=encoder,
        groups=groups,
        words=[path_words(original_path(path), roots) for path in groups],
    )
