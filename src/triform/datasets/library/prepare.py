"""``triform shapes prepare``: meshes become a library, in parallel and resumable."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.datasets.library import captioning
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.ids import assign_ids
from triform.datasets.library.journal import Journal, Note
from triform.datasets.library.layout import FAILED, FOLDERS
from triform.datasets.library.make import Task, give_up, make_object, warm_up
from triform.datasets.library.recipe import Recipe
from triform.datasets.library.source import file_digest, is_unchanged
from triform.datasets.library.splitting import split_objects
from triform.datasets.library.store import Store
from triform.datasets.library.workers import Crew
from triform.datasets.load import load_dataset
from triform.datasets.shape import Shape, list_shapes

logger = get_logger(__name__)

# Seconds between two writings of the tables, at least; more where a writing takes long.
SAVE_EVERY = 20.0
_LOCK = ".lock"
_SAVE_SHARE = 20


class Interrupted(UserError):
    """Ctrl-C."""

    exit_status = 130


def run(settings: PrepareSettings) -> dict[str, Any]:
    """Prepares a library; what is there already and still right is kept.

    Returns:
        Counts and times, as plain data.

    Raises:
        UserError: there are no meshes, none of them can be used, the library cannot be written, or
            it was interrupted.
    """
    started = time.monotonic()
    recipe = Recipe.from_settings(settings)
    if not recipe.parts:
        raise UsageError("nothing to make: --views, --points and --voxel_size are all 0")
    store = Store(settings.library)
    captions = captioning.read_files(settings.captions)
    crew = None if store.is_memory else Crew(settings.workers, settings.cluster)
    if crew is None and settings.cluster:
        raise UsageError(f"--cluster: {store.root} exists in this program's memory only")
    shapes = list_shapes(
        load_dataset(settings.meshes, settings.download_path), settings.max_samples
    )
    with _alone(store):
        journal = Journal(store)
        tasks, kept = _plan(settings, recipe, journal, shapes)
        journal.set_aside(task.object_id for task in tasks)
        if tasks and kept:
            logger.info("%d of %d objects are there already", kept, len(shapes))
        try:
            done = _work(settings, journal, tasks, crew)
        except KeyboardInterrupt:
            journal.absorb()
            journal.close()
            there = kept + sum(task.object_id in journal.objects for task in tasks)
            raise Interrupted(
                f"stopped by Ctrl-C: {there} of {len(shapes)} objects are in {store.root}; "
                "the same command goes on from there"
            ) from None
        journal.absorb()
        _describe(journal, shapes)
        added = captioning.merge(journal.captions, journal.objects.values(), captions)
        journal.objects = split_objects(store, journal.objects, settings.split)
        journal.close()
    return _answer(journal, done, kept, added, time.monotonic() - started)


@dataclass
class _Done:
    """What a run has made: counts, and the last refusals."""

    made: int = 0
    refused: int = 0
    first: str = ""
    seconds: float = 0.0


def _plan(
    settings: PrepareSettings, recipe: Recipe, journal: Journal, shapes: list[Shape]
) -> tuple[list[Task], int]:
    """Find out what has to be made; also how many objects are there already."""
    sizes: dict[str, int] = {}
    if journal.objects:
        for folder in FOLDERS:
            sizes |= journal.store.sizes(folder)
    check = functools.partial(_look, settings, recipe, journal, sizes)
    named = list(_named(journal, shapes))
    # Hashing of files waits for the disk and lets other threads run.
    with ThreadPoolExecutor(8) as threads:
        found = list(
            tqdm(
                threads.map(check, named),
                total=len(named), desc="looking", unit="mesh", disable=None, leave=False,
            )
        )  # fmt: skip
    tasks = [task for task in found if isinstance(task, Task)]
    return tasks, found.count("there")


def _look(
    settings: PrepareSettings,
    recipe: Recipe,
    journal: Journal,
    sizes: dict[str, int],
    named: tuple[Shape, str],
) -> Task | str:
    """What is to be done for one object: a task, or nothing because it is "there" or "refused"."""
    shape, object_id = named
    old = journal.objects.get(object_id)
    keep = old is not None and is_unchanged(shape, old)
    parts = recipe.parts
    if old is not None and keep:
        parts = recipe.missing(old, sizes)
        if not parts:
            return "there"
    limits = f"{settings.timeout}|{settings.max_memory}|{shape.object_id}|{file_digest(shape)}"
    key = recipe.whole_key(limits)
    failed = journal.failed.get(object_id)
    if failed is not None and failed.key == key and not settings.retry_failed:
        return "refused"
    return Task(journal.store, object_id, shape, recipe, parts, old, keep, key)


def _describe(journal: Journal, shapes: list[Shape]) -> None:
    """Bring what is said about objects up to date, whether or not they were made in this run."""
    for shape, object_id in _named(journal, shapes):
        item = journal.objects.get(object_id)
        if item is None:
            continue
        said = (item.category, item.licence, item.given_split)
        if said != (shape.category, shape.licence, shape.split):
            new = {
                "category": shape.category, "licence": shape.licence, "given_split": shape.split
            }  # fmt: skip
            journal.objects[object_id] = item.model_copy(update=new)
        if not journal.captions.get(object_id):
            pairs = zip(shape.captions, shape.languages, strict=True)
            journal.captions[object_id] = list(pairs)


def _named(journal: Journal, shapes: list[Shape]) -> Iterator[tuple[Shape, str]]:
    taken = {item.source: name for name, item in journal.objects.items()}
    taken |= {note.source: name for name, note in journal.failed.items() if note.source}
    names = assign_ids((shape.object_id for shape in shapes), taken)
    yield from ((shape, names[shape.object_id]) for shape in shapes)


def _work(
    settings: PrepareSettings, journal: Journal, tasks: list[Task], crew: Crew | None
) -> _Done:
    """Make what is missing; the journal knows every object as soon as it is whole."""
    done = _Done()
    if not tasks:
        return done
    started = saved = time.monotonic()
    wait = SAVE_EVERY
    notes: Iterator[Note] = map(make_object, tasks)
    if crew is not None:
        notes = crew.map(
            make_object,
            give_up,
            tasks,
            settings.timeout,
            settings.max_memory,
            functools.partial(warm_up, tasks[0].recipe),
        )
    bar = tqdm(
        total=len(tasks), desc="shapes", unit="object", disable=None, smoothing=0.05, leave=False
    )
    with bar, contextlib.closing(notes) if crew else contextlib.nullcontext():  # type: ignore[type-var]
        for note in notes:
            journal.add(note)
            done.made += note.item is not None
            if note.item is None:
                done.refused += 1
                done.first = done.first or f"{note.source}: {note.reason}"
                bar.set_postfix(failed=done.refused, refresh=False)
            bar.update()
            if time.monotonic() - saved > wait:
                begun = time.monotonic()
                journal.save()
                saved = time.monotonic()
                wait = max(SAVE_EVERY, _SAVE_SHARE * (saved - begun))
    done.seconds = time.monotonic() - started
    return done


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Keep a second preparation out of a local library."""
    if store.folder is None:
        yield
        return
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        # Taking a lock empties the file of that name: in a stranger's library it may be a link.
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


def _answer(journal: Journal, done: _Done, kept: int, added: int, seconds: float) -> dict[str, Any]:
    objects = journal.objects.values()
    if not objects:
        name, note = next(iter(sorted(journal.failed.items())))
        raise UserError(
            f"none of {len(journal.failed)} meshes can be used; the first: "
            f"{note.source or name}: {note.reason}"
        )
    failed = len(journal.failed)
    if done.refused:
        logger.warning(
            "%d meshes cannot be used, %s/%s says why; the first: %s",
            done.refused,
            journal.store.root,
            FAILED,
            done.first,
        )
    splits = {
        name: sum(item.split == name for item in objects) for name in ("train", "val", "test")
    }
    return {
        "library": journal.store.root,
        "objects": len(journal.objects),
        "made": done.made,
        "kept": kept,
        "failed": failed,
        "captions": sum(sum(item.captions.values()) for item in objects),
        "captions_added": added,
        **splits,
        "seconds": round(seconds, 1),
        "objects_per_second": round(done.made / done.seconds, 2) if done.seconds else 0.0,
    }
