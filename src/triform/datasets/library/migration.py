"""Migration of libraries of version 0, with all files of an object's views in one folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from filelock import FileLock, Timeout

from triform.base.errors import UserError
from triform.datasets.library.foreign import is_ours
from triform.datasets.library.ids import path_problem
from triform.datasets.library.layout import (
    METADATA,
    current_path,
    metadata_bytes,
    parse_json,
    parse_metadata,
    read_table,
)
from triform.datasets.library.store import Store

_LOCK = ".lock"


def move_old_files(store: Store) -> int:
    """Move depths, colours and normals out of `images` and `points`, and rename them in the table.

    After an interruption the same call goes on.

    Returns:
        The number of files that were moved.

    Raises:
        UserError: the library cannot be read or written, or a preparation is running.
    """
    if store.folder is not None and not store.folder.is_dir():
        return 0
    with exclusive(store):
        return move_old_files_locked(store)


def move_old_files_locked(store: Store) -> int:
    """As `move_old_files`, for whoever has the lock."""
    moves = {
        path: target
        for folder in ("images", "points")
        for path in store.sizes(folder)
        if (target := current_path(path)) != path and not path_problem(path)
    }
    moves = {path: target for path, target in moves.items() if not store.exists(target)}
    for path, target in moves.items():
        store.move(path, target)
    data = read_table(store, METADATA)
    if data is not None:
        name = f"{store.root}/{METADATA}"
        entries = parse_json(data, name)
        if is_ours(entries):
            objects = parse_metadata(entries, name)
            moved = {name: entry.with_current_paths() for name, entry in objects.items()}
            if moved != objects:
                store.write_bytes(METADATA, metadata_bytes(moved))
    return len(moves)


@contextlib.contextmanager
def exclusive(store: Store) -> Iterator[None]:
    """Lock a local library against a second program that writes to it."""
    if store.folder is None:
        yield
        return
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        # Taking a lock empties the file of that name; in a downloaded library it may be a link.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(store.folder / _LOCK).st_mode):
                raise UserError(f"{store.root}/{_LOCK}: not a regular file; remove it")
        lock = FileLock(store.folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{store.root}: another preparation of this library is running; wait for its end"
        ) from None
    except OSError as error:
        raise UserError(
            f"{store.root}: cannot be used as a library ({error.strerror or error})"
        ) from None
    try:
        yield
    finally:
        lock.release()
