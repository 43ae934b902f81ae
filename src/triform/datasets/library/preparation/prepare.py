"""`triform shapes prepare`: make a library from meshes, in parallel and resumable."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.ids import assign_ids
from triform.datasets.library.layout import FAILED, FOLDERS
from triform.datasets.library.migration import exclusive, move_old_files_locked
from triform.datasets.library.preparation.captioning import merge_captions, read_caption_files
from triform.datasets.library.preparation.journal import Journal, Note
from triform.datasets.library.preparation.prepare_object import (
    PrepareTask,
    prepare_object,
    record_failure,
    warm_up,
)
from triform.datasets.library.preparation.recipe import Recipe
from triform.datasets.library.preparation.source import file_digest, is_unchanged
from triform.datasets.library.preparation.splitting import split_objects
from triform.datasets.library.preparation.worker_pool import Job, WorkerPool
from triform.datasets.library.store import Store
from triform.datasets.load import load_dataset
from triform.datasets.shape import Shape, mesh_shapes, unique_shapes

logger = get_logger(__name__)

# Least seconds between two saves of the tables; at least twenty times as long as a save takes.
SAVE_INTERVAL = 20.0
_SAVE_FACTOR = 20


class Interrupted(UserError):
    """The user pressed Ctrl-C."""

    exit_status = 130


def run(settings: PrepareSettings) -> dict[str, Any]:
    """Prepare a library; files that are up to date are kept.

    Returns:
        Counts and times.

    Raises:
        UserError: there are no meshes, none of them can be used, the library cannot be written, or
            it was interrupted.
    """
    started = time.monotonic()
    recipe = Recipe.from_settings(settings)
    if not recipe.parts:
        raise UsageError("nothing to make: --views, --points and --voxel_size are all 0")
    store = Store(settings.library)
    captions = read_caption_files(settings.captions)
    pool = None if store.is_memory else WorkerPool(settings.workers, settings.cluster)
    if pool is None and settings.cluster:
        raise UsageError(f"--cluster: {store.root} exists in this program's memory only")
    folders = load_dataset(settings.meshes, settings.download_path)
    groups = (mesh_shapes(folder, settings.up) for folder in folders)
    shapes = unique_shapes(groups, settings.max_samples)
    with exclusive(store):
        move_old_files_locked(store)
        journal = Journal(store)
        tasks, num_unchanged = _plan(settings, recipe, journal, shapes)
        journal.mark_pending(task.object_id for task in tasks)
        if tasks and num_unchanged:
            logger.info("%d of %d objects are there already", num_unchanged, len(shapes))
        try:
            progress = _prepare_all(settings, journal, tasks, pool)
        except KeyboardInterrupt:
            journal.read_notes()
            journal.close()
            num_ready = num_unchanged + sum(task.object_id in journal.objects for task in tasks)
            raise Interrupted(
                f"stopped by Ctrl-C: {num_ready} of {len(shapes)} objects are in {store.root}; "
                "the same command goes on from there"
            ) from None
        journal.read_notes()
        _update_descriptions(journal, shapes)
        num_added = merge_captions(journal.captions, journal.objects.values(), captions)
        journal.objects = split_objects(store, journal.objects, settings.split)
        journal.close()
    return _summary(journal, progress, num_unchanged, num_added, time.monotonic() - started)


@dataclass
class _Progress:
    """Counts of a run, its first failure, and its duration."""

    num_prepared: int = 0
    num_failed: int = 0
    first_failure: str = ""
    seconds: float = 0.0


def _plan(
    settings: PrepareSettings, recipe: Recipe, journal: Journal, shapes: list[Shape]
) -> tuple[list[PrepareTask], int]:
    """Tasks for all objects that are not up to date, and the number of those that are."""
    sizes: dict[str, int] = {}
    if journal.objects:
        for folder in FOLDERS:
            sizes |= journal.store.sizes(folder)
    plan = functools.partial(_plan_object, settings, recipe, journal, sizes)
    shapes_with_ids = list(_with_ids(journal, shapes))
    # Hashing of files waits for the disk and lets other threads run.
    with ThreadPoolExecutor(8) as threads:
        plans = list(
            progress_bar(
                threads.map(plan, shapes_with_ids),
                desc="checking",
                total=len(shapes_with_ids),
                unit="mesh",
            )
        )
    tasks = [task for task in plans if isinstance(task, PrepareTask)]
    return tasks, plans.count("up to date")


def _plan_object(
    settings: PrepareSettings,
    recipe: Recipe,
    journal: Journal,
    sizes: dict[str, int],
    shape_with_id: tuple[Shape, str],
) -> PrepareTask | str:
    """Task for one object; "up to date" or "failed before" if there is nothing to do."""
    shape, object_id = shape_with_id
    old = journal.objects.get(object_id)
    unchanged = old is not None and is_unchanged(shape, old)
    parts = recipe.parts
    if old is not None and unchanged:
        parts = recipe.missing(old, sizes)
        if not parts:
            return "up to date"
    limits = (
        f"{settings.timeout}|{settings.max_memory}|{settings.up}|{shape.object_id}"
        f"|{file_digest(shape)}"
    )
    key = recipe.combined_key(limits)
    failed = journal.failed.get(object_id)
    if failed is not None and failed.key == key and not settings.retry_failed:
        return "failed before"
    return PrepareTask(journal.store, object_id, shape, recipe, parts, old, unchanged, key)


def _update_descriptions(journal: Journal, shapes: list[Shape]) -> None:
    """Update category, licence, split and captions of all objects, prepared in this run or not."""
    for shape, object_id in _with_ids(journal, shapes):
        entry = journal.objects.get(object_id)
        if entry is None:
            continue
        update = {
            "category": shape.category,
            "licence": shape.licence,
            "source_split": shape.split,
            "source_file": shape.location,
        }
        journal.objects[object_id] = entry.model_copy(update=update)
        if not journal.captions.get(object_id):
            pairs = zip(shape.captions, shape.languages, strict=True)
            journal.captions[object_id] = list(pairs)


def _with_ids(journal: Journal, shapes: list[Shape]) -> Iterator[tuple[Shape, str]]:
    used_ids = {entry.source: name for name, entry in journal.objects.items()}
    used_ids |= {note.source: name for name, note in journal.failed.items() if note.source}
    names = assign_ids((shape.object_id for shape in shapes), used_ids)
    yield from ((shape, names[shape.object_id]) for shape in shapes)


def _prepare_all(
    settings: PrepareSettings, journal: Journal, tasks: list[PrepareTask], pool: WorkerPool | None
) -> _Progress:
    """Prepare objects and add each to the journal as soon as all of its files are written."""
    progress = _Progress()
    if not tasks:
        return progress
    started = last_save = time.monotonic()
    save_interval = SAVE_INTERVAL
    notes: Iterator[Note] = map(prepare_object, tasks)
    if pool is not None:
        job = Job(
            prepare_object,
            record_failure,
            settings.timeout,
            settings.max_memory * 2**30,
            functools.partial(warm_up, tasks[0].recipe),
        )
        notes = pool.map(job, tasks)
    bar = progress_bar(desc="shapes", total=len(tasks), unit="object")
    with bar, contextlib.closing(notes) if pool else contextlib.nullcontext():  # type: ignore[type-var]
        for note in notes:
            journal.add(note)
            progress.num_prepared += note.entry is not None
            if note.entry is None:
                progress.num_failed += 1
                progress.first_failure = progress.first_failure or f"{note.source}: {note.reason}"
                bar.set_postfix(failed=progress.num_failed, refresh=False)
            bar.update()
            if time.monotonic() - last_save > save_interval:
                save_started = time.monotonic()
                journal.save()
                last_save = time.monotonic()
                save_interval = max(SAVE_INTERVAL, _SAVE_FACTOR * (last_save - save_started))
    progress.seconds = time.monotonic() - started
    return progress


def _summary(
    journal: Journal, progress: _Progress, num_unchanged: int, num_added: int, seconds: float
) -> dict[str, Any]:
    objects = journal.objects.values()
    if not objects:
        name, note = next(iter(sorted(journal.failed.items())))
        raise UserError(
            f"none of {len(journal.failed)} meshes can be used; the first: "
            f"{note.source or name}: {note.reason}"
        )
    if progress.num_failed:
        logger.warning(
            "%d meshes cannot be used, %s/%s says why; the first: %s",
            progress.num_failed,
            journal.store.root,
            FAILED,
            progress.first_failure,
        )
    splits = {
        name: sum(entry.split == name for entry in objects) for name in ("train", "val", "test")
    }
    speed = progress.num_prepared / progress.seconds if progress.seconds else 0.0
    return {
        "library": journal.store.root,
        "objects": len(journal.objects),
        "prepared": progress.num_prepared,
        "unchanged": num_unchanged,
        "failed": len(journal.failed),
        "captions": sum(sum(entry.captions.values()) for entry in objects),
        "captions_added": num_added,
        **splits,
        "seconds": round(seconds, 1),
        "objects_per_second": round(speed, 2),
    }
