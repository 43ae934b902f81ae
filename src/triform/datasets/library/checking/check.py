"""`triform shapes check`: find problems of a library, also of one made by another program."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from triform.base.errors import UserError
from triform.base.progress import progress_bar
from triform.datasets.library.checking.files import FileContents, check_object, check_uniformity
from triform.datasets.library.checking.names import check_names, check_spelling
from triform.datasets.library.checking.problems import Problem, as_lines, as_records
from triform.datasets.library.checking.tables import check_captions, check_metadata, count_failed
from triform.datasets.library.config import CheckSettings
from triform.datasets.library.foreign import IMAGE, list_files, objects_from_names
from triform.datasets.library.layout import (
    CAPTIONS,
    METADATA,
    LibraryObject,
    camera_path,
    depth_path,
)
from triform.datasets.library.migration import move_old_files
from triform.datasets.library.store import Store

# For fewer objects than this, starting processes costs more than it saves.
_MIN_PARALLEL = 64
_CHUNK = 8


@dataclasses.dataclass(frozen=True)
class Report:
    """Result of a check.

    Attributes:
        library: folder or URL.
        counts: numbers of objects, images and so on.
        problems: errors first, each sorted by file.
    """

    library: str
    counts: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(problem.level == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return len(self.problems) - self.errors


def check_library(root: str, *, quick: bool = False, workers: int = 0) -> Report:
    """Check a library in the layout of the Shap-E document.

    Args:
        root: a folder, or any URL that fsspec supports.
        quick: check names and headers only.
        workers: processes; 0 takes one for each core.

    Raises:
        UserError: there is no library.
    """
    store = Store(root)
    files = list_files(store)
    if not files and not any(store.exists(table) for table in (METADATA, CAPTIONS)):
        raise UserError(
            f"{store.root}: no shape library: there is no {METADATA}, no {CAPTIONS} and nothing in "
            "images or points; make one with `triform shapes prepare MESHES LIBRARY`"
        )
    from_names = objects_from_names(files)
    objects, problems = check_metadata(store, from_names, files)
    problems += check_names(objects, from_names, files)
    problems += check_spelling(objects)
    problems += check_captions(store, objects, from_names)
    contents: dict[str, FileContents] = {}
    with progress_bar(desc="objects", total=len(objects), unit="object") as bar:
        for object_id, object_contents in _check_objects(store, objects, files, quick, workers):
            contents[object_id] = object_contents
            problems += object_contents.problems
            bar.update()
    problems += check_uniformity({object_id: contents[object_id] for object_id in objects})
    counts = {
        "objects": len(objects),
        "images": sum(len(entry.images) for entry in objects.values()),
        "depths": sum(len(entry.depths) for entry in objects.values()),
        "cameras": sum(len(entry.cameras) for entry in objects.values()),
        "point clouds": sum(entry.points is not None for entry in objects.values()),
        "voxels": sum(len(entry.voxels) for entry in objects.values()),
        "failed": count_failed(store),
        "files": len(files),
    }
    return Report(store.root, counts, tuple(sorted(problems)))


def run(settings: CheckSettings) -> tuple[dict[str, Any], int]:
    """Result of `triform shapes check` as a dictionary, and its exit status."""
    num_moved = move_old_files(Store(settings.library)) if settings.fix else 0
    report = check_library(settings.library, quick=settings.quick, workers=settings.workers)
    summary = {
        "library": report.library,
        "moved": num_moved,
        **{name.replace(" ", "_"): count for name, count in report.counts.items()},
        "errors": report.errors,
        "warnings": report.warnings,
        "problems": as_records(report.problems),
    }
    return summary, int(report.errors > 0)


def describe(summary: Mapping[str, Any], max_lines: int) -> str:
    """Result of a check as text.

    Args:
        summary: from `run`.
        max_lines: most lines for problems of one kind; 0 shows all.
    """
    counts = ", ".join(
        f"{summary[key]:,} {key.replace('_', ' ')}"
        for key in ("objects", "images", "depths", "cameras", "point_clouds", "voxels")
    )
    failed = summary["failed"]
    lines = [f"{summary['library']}: {counts}"]
    if summary["moved"]:
        lines.append(f"moved {summary['moved']:,} files to depth, colors and normals")
    lines += as_lines([Problem(**record) for record in summary["problems"]], max_lines)
    if failed:
        lines.append(f"{failed:,} objects could not be prepared: failed.csv says why")
    errors, warnings = summary["errors"], summary["warnings"]
    lines.append(
        "nothing is wrong"
        if not errors + warnings
        else f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    )
    return "\n".join(lines)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _check_objects(
    store: Store,
    objects: Mapping[str, LibraryObject],
    files: Mapping[str, int],
    quick: bool,
    workers: int,
) -> Iterator[tuple[str, FileContents]]:
    """Check the files of all objects; in several processes if there are many."""
    tasks = [(entry, _present_files(entry, files)) for entry in objects.values()]
    workers = workers or os.cpu_count() or 1
    if workers == 1 or len(tasks) < _MIN_PARALLEL or store.is_memory:
        for entry, present in tasks:
            yield entry.object_id, check_object(store, entry, present, quick)
        return
    from joblib import Parallel, delayed

    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    for answers in Parallel(workers, return_as="generator_unordered")(
        delayed(_check_chunk)(store, chunk, quick) for chunk in chunks
    ):
        yield from answers


def _check_chunk(
    store: Store, tasks: Sequence[tuple[LibraryObject, frozenset[str]]], quick: bool
) -> list[tuple[str, FileContents]]:
    return [
        (entry.object_id, check_object(store, entry, present, quick)) for entry, present in tasks
    ]


def _present_files(entry: LibraryObject, files: Mapping[str, int]) -> frozenset[str]:
    """Files of an object that exist and are not empty, with depths and cameras of its images."""
    paths = set(entry.files)
    for path in entry.images:
        if match := IMAGE.fullmatch(path):
            paths.add(f"{path.removesuffix('.png')}.depth.png")  # version 0
            paths.add(depth_path(match[1], int(match[2])))
            paths.add(camera_path(match[1], int(match[2])))
    return frozenset(path for path in paths if files.get(path))
