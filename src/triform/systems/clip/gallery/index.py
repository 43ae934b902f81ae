"""The verb `index`: brings an index up to date with folders of photos.

Imports no torch before there is something to embed, so that a folder in which nothing has changed
is done with at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.logging import NOTICE, get_logger
from triform.base.printable import printable
from triform.datasets.images.photos.changes import Changes, KnownPhoto, find_changes
from triform.datasets.images.photos.scan import PhotoFile, Scan, is_below, scan_photos
from triform.search import gallery_file
from triform.search.base_gallery import Record
from triform.search.chroma import is_chroma
from triform.systems.clip.gallery import index_file
from triform.systems.clip.gallery.failures import (
    Failure,
    failure_key,
    failures_path,
    read_failures,
    write_failures,
)
from triform.systems.clip.gallery.index_file import stored_path
from triform.systems.clip.gallery.journal import Entry, Journal, journal_path
from triform.systems.clip.gallery.writing import apply_changes
from triform.systems.clip.verb_config import IndexConfig

logger = get_logger(__name__)


class Interrupted(UserError):
    """The user pressed Ctrl-C."""

    exit_status = 130


@dataclass
class _Run:
    """Counts of a run.

    Attributes:
        entries: What is read and embedded, of this run or one before that was killed.
        embedded: Number of files that were embedded in this run.
        seconds: That it took.
    """

    entries: list[Entry] = field(default_factory=list)
    embedded: int = 0
    seconds: float = 0.0


def index(settings: IndexConfig) -> dict[str, Any]:
    """Index folders: what is new or has changed is embedded, what is gone is removed.

    Returns:
        Counts and times.

    Raises:
        UserError: A folder cannot be listed, there is no model, nothing can be read, or the index
            is another model's.
    """
    started = time.monotonic()
    location = index_file.check_location(settings.index_file)
    encoder = index_file.encoder_id(settings)
    scan = scan_photos(
        settings.folders, exclude=settings.exclude, follow_links=settings.follow_links
    )
    # Two runs must not use one journal, wherever the index is.
    with gallery_file.exclusive(index_file.local_path(location)):
        return _update(location, encoder, scan, settings, started)


def _update(
    location: str, encoder: str, scan: Scan, settings: IndexConfig, started: float
) -> dict[str, Any]:
    local = index_file.local_path(location)
    records = _read_records(location, encoder, settings)
    known = index_file.known_photos(records)
    _keep_unplugged(scan, known, settings)
    changes = find_changes(scan, known)
    failed = read_failures(failures_path(local))
    retried = set() if settings.retry_failed else set(failed)
    files = [file for file in changes.new if failure_key(file) not in retried]
    _report_left_out(scan)
    run = _embed(files, local, encoder, settings) if files else _Run()
    gone = {entry.path for entry in run.entries if not os.path.lexists(_path(entry))}
    failures = _failures(run, changes, failed, scan, gone)
    entries = [each for each in run.entries if each.records and each.path not in gone]
    present = {file.path for file in scan.files}
    num_other = sum(not scan.covers(path) for path in known.keys() - present)
    counts = {
        "index": location,
        "files": num_other
        + changes.unchanged
        + len(changes.touched)
        + len(changes.moved)
        + len(entries),
        "new": len({each.path for each in entries} - set(map(stored_path, changes.changed))),
        "changed": len({each.path for each in entries} & set(map(stored_path, changes.changed))),
        "moved": len(changes.moved),
        "removed": len(changes.removed),
        "unchanged": changes.unchanged + len(changes.touched),
        "unreadable": len(failures),
        "embedded": run.embedded,
    }
    if not counts["files"]:
        journal_path(local).unlink(missing_ok=True)
        _refuse_empty(scan, failures)
    if entries or changes.touched or changes.moved or changes.removed or changes.changed:
        from triform.systems.clip.gallery.opening import open_or_create

        gallery = open_or_create(location, encoder, settings, rebuild=settings.rebuild)
        try:
            apply_changes(gallery, records, changes, entries, scan.roots, encoder)
            gallery.save()
        finally:
            gallery.close()
    write_failures(failures_path(local), failures)
    journal_path(local).unlink(missing_ok=True)
    new_failures = [each for each in failures if each.key not in retried]
    if new_failures:
        logger.warning(
            "%s cannot be read, %s says why; the first: %s: %s",
            "1 file" if len(new_failures) == 1 else f"{len(new_failures)} files",
            failures_path(local),
            new_failures[0].file,
            new_failures[0].reason,
        )
    speed = run.embedded / run.seconds if run.seconds else 0.0
    seconds = time.monotonic() - started
    return {**counts, "seconds": round(seconds, 2), "files_per_second": round(speed, 2)}


def _read_records(location: str, encoder: str, settings: IndexConfig) -> dict[str, Record]:
    """Vector id -> record of an index; of a file without its vectors.

    Raises:
        UserError: It is damaged, or another model's.
    """
    if is_chroma(location):
        from triform.systems.clip.gallery.opening import open_or_create

        gallery = open_or_create(location, encoder, settings, rebuild=settings.rebuild)
        try:
            return gallery.records()
        finally:
            gallery.close()
    if settings.rebuild or not Path(location).exists():
        return {}
    try:
        with gallery_file.reading(Path(location)) as contents:
            index_encoder = contents.header.encoder
            texts = {row[1]: row[5] for row in contents.rows}
            for segment in contents.segments:
                texts |= {identity: text for identity, _, _, text in segment.rows}
            records = gallery_file.all_records(texts, location)
    except UserError as error:
        raise UserError(f"{error}; --rebuild does") from None
    index_file.check_encoder(location, index_encoder, encoder, settings)
    return records


def _keep_unplugged(scan: Scan, known: dict[str, KnownPhoto], settings: IndexConfig) -> None:
    """Take a folder in which nothing is left for a disk that is not there."""
    if settings.allow_empty:
        return
    for root in scan.roots:
        if any(is_below(file.path, root) for file in scan.files):
            continue
        if count := sum(is_below(path, root) for path in known):
            scan.closed.append(root)
            logger.warning(
                "%s: empty now; its %d files stay in the index, --allow_empty removes them",
                root,
                count,
            )


def _report_left_out(scan: Scan) -> None:
    """Say what is not indexed, in a line each."""
    for extra, count in sorted(scan.packages.items()):
        logger.warning(
            "%s `pip install triform[%s]` and %s left out",
            "1 file needs" if count == 1 else f"{count} files need",
            extra,
            "is" if count == 1 else "are",
        )
    if scan.closed:
        folder = printable(scan.closed[0])
        logger.warning("cannot be listed: %d folders, such as %s", len(scan.closed), folder)
    parts = [
        f"{count} {name}"
        for count, name in (
            (scan.excluded, "excluded folders and files"),
            (scan.links, "links (--follow_links)"),
            (scan.raw_copies, "RAW photos beside their JPEG"),
        )
        if count
    ]
    if parts:
        logger.info("left out %s", ", ".join(parts))


def _embed(files: Sequence[PhotoFile], local: Path, encoder: str, settings: IndexConfig) -> _Run:
    """Read and embed files; what a killed run has done already is read from its journal.

    Raises:
        Interrupted: Ctrl-C; the journal stays.
    """
    from triform.base.progress import progress_bar

    header = f"triform journal {index_file.VERSION}, {encoder}, {settings.frames} frames"
    run, order = _Run(), {stored_path(file.path): file for file in files}
    # A model that cannot be read must not leave files behind.
    embedded = _embedder(settings)
    journal = Journal(journal_path(local), header)
    try:
        done = {
            path: entry
            for path, entry in journal.entries.items()
            if (file := order.get(path)) is not None
            and (file.size, file.modified) == (entry.size, entry.modified)
        }
        missing = [file for path, file in order.items() if path not in done]
        if done:
            logger.log(NOTICE, "%d files are done already by a run that was stopped", len(done))
        failed = sum(not entry.records for entry in done.values())
        bar = progress_bar(desc="photos", total=len(missing), unit="file")
        started = time.monotonic()
        try:
            for entries in embedded(missing):
                journal.add(entries)
                done |= {entry.path: entry for entry in entries}
                failed += sum(not entry.records for entry in entries)
                if failed:
                    bar.set_postfix(unreadable=failed, refresh=False)
                bar.update(len(entries))
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped by Ctrl-C: {len(done)} of {len(files)} files are done; the same command "
                "goes on from there"
            ) from None
        finally:
            bar.close()
        run.seconds, run.embedded = time.monotonic() - started, len(missing)
        run.entries = [done[path] for path in order]
    finally:
        journal.close()
    return run


def _embedder(settings: IndexConfig) -> Any:
    """A function from files to batches of entries, here or on a cluster."""
    if settings.cluster:
        from triform.systems.clip.gallery.cluster import embed_on_cluster, join

        pool = join(settings)
        return lambda files: embed_on_cluster(files, settings, pool)
    from triform.systems.clip.gallery.embed import embed_files
    from triform.systems.clip.trained import load_model

    model = load_model(settings)

    def embed(files: Sequence[PhotoFile]) -> Iterator[list[Entry]]:
        return embed_files(
            files,
            model,
            batch_size=settings.batch_size,
            frames=settings.frames,
            threads=settings.workers or os.cpu_count() or 1,
        )

    return embed


def _failures(
    run: _Run, changes: Changes, old: dict[str, Failure], scan: Scan, gone: set[str]
) -> list[Failure]:
    """Failures of this run, and those of before that still hold."""
    by_path = {stored_path(file.path): file for file in changes.new}
    failures = {
        (failure := Failure.of(by_path[entry.path], entry.reason)).key: failure
        for entry in run.entries
        if not entry.records and entry.path not in gone
    }
    tried = {entry.path for entry in run.entries}
    for path, file in by_path.items():
        key = failure_key(file)
        if path not in tried and key in old:
            failures[key] = old[key]
    roots = [printable(root) for root in scan.roots]
    for key, failure in old.items():
        if not any(is_below(failure.file, root) for root in roots):
            failures[key] = failure
    return list(failures.values())


def _refuse_empty(scan: Scan, failures: Sequence[Failure]) -> None:
    """Refuse to make an index of nothing.

    Raises:
        UserError: Always.
    """
    folders = ", ".join(map(printable, scan.roots))
    if failures:
        raise UserError(
            f"{folders}: none of {len(failures)} files can be read; the first: "
            f"{failures[0].file}: {failures[0].reason}"
        )
    packages = "".join(f"; {n} need triform[{extra}]" for extra, n in scan.packages.items())
    raise UserError(f"{folders}: no photos in it{packages}")


def _path(entry: Entry) -> str:
    return index_file.original_path(entry.path)
