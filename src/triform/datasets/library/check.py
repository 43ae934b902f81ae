"""`triform shapes check`: what is wrong with a library, whoever made it, and where."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from triform.base.errors import UserError
from triform.datasets.library.check_files import Found, check_object, check_usual
from triform.datasets.library.check_names import check_letters, check_names
from triform.datasets.library.check_tables import check_captions, check_metadata, count_failed
from triform.datasets.library.config import CheckSettings
from triform.datasets.library.foreign import IMAGE, list_files, objects_from_names
from triform.datasets.library.layout import (
    CAPTIONS,
    METADATA,
    LibraryObject,
    camera_path,
)
from triform.datasets.library.problems import Problem, as_lines, as_records
from triform.datasets.library.store import Store

# For fewer objects than this, starting processes costs more than it saves.
_FEW = 64
_CHUNK = 8


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        library: folder or address.
        counts: how many objects, pictures and so on there are.
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
    """Check a library in the layout of the Shap-E document, ours or anybody's.

    Args:
        root: a folder, or any address that fsspec knows.
        quick: names and the first bytes of files only.
        workers: processes; 0 takes one for each core.

    Raises:
        UserError: there is no such place, or nothing of a library in it.
    """
    store = Store(root)
    files = list_files(store)
    if not files and not any(store.exists(table) for table in (METADATA, CAPTIONS)):
        raise UserError(
            f"{store.root}: no shape library: there is no {METADATA}, no {CAPTIONS} and nothing in "
            "images or points; make one with `triform shapes prepare MESHES LIBRARY`"
        )
    named = objects_from_names(files)
    objects, problems = check_metadata(store, named, files)
    problems += check_names(objects, named, files)
    problems += check_letters(objects)
    problems += check_captions(store, objects, named)
    found: dict[str, Found] = {}
    with tqdm(total=len(objects), desc="objects", unit="object", disable=None, leave=False) as bar:
        for object_id, one in _open_all(store, objects, files, quick, workers):
            found[object_id] = one
            problems += one.problems
            bar.update()
    problems += check_usual({object_id: found[object_id] for object_id in objects})
    counts = {
        "objects": len(objects),
        "pictures": sum(len(entry.images) for entry in objects.values()),
        "depths": sum(len(entry.depths) for entry in objects.values()),
        "cameras": sum(len(entry.cameras) for entry in objects.values()),
        "clouds": sum(entry.points is not None for entry in objects.values()),
        "voxel grids": sum(len(entry.voxels) for entry in objects.values()),
        "failed": count_failed(store),
        "files": len(files),
    }
    return Report(store.root, counts, tuple(sorted(problems)))


def run(settings: CheckSettings) -> tuple[dict[str, Any], int]:
    """Answer of `triform shapes check` as plain data, and its exit status."""
    report = check_library(settings.library, quick=settings.quick, workers=settings.workers)
    answer = {
        "library": report.library,
        **{name.replace(" ", "_"): count for name, count in report.counts.items()},
        "errors": report.errors,
        "warnings": report.warnings,
        "problems": as_records(report.problems),
    }
    return answer, int(report.errors > 0)


def describe(answer: Mapping[str, Any], most: int) -> str:
    """The same answer as text.

    Args:
        answer: from `run`.
        most: lines for problems of one kind; 0 shows all.
    """
    facts = ", ".join(
        f"{answer[key]:,} {key.replace('_', ' ')}"
        for key in ("objects", "pictures", "depths", "cameras", "clouds", "voxel_grids")
    )
    failed = answer["failed"]
    lines = [f"{answer['library']}: {facts}"]
    lines += as_lines([Problem(**record) for record in answer["problems"]], most)
    if failed:
        lines.append(f"{failed:,} objects could not be prepared: failed.csv says why")
    errors, warnings = answer["errors"], answer["warnings"]
    lines.append(
        "nothing is wrong"
        if not errors + warnings
        else f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _open_all(
    store: Store,
    objects: Mapping[str, LibraryObject],
    files: Mapping[str, int],
    quick: bool,
    workers: int,
) -> Iterator[tuple[str, Found]]:
    """Opens the files of all objects; in other processes where that pays."""
    tasks = [(entry, _files_there(entry, files)) for entry in objects.values()]
    workers = workers or os.cpu_count() or 1
    if workers == 1 or len(tasks) < _FEW or store.is_memory:
        for entry, there in tasks:
            yield entry.object_id, check_object(store, entry, there, quick)
        return
    from joblib import Parallel, delayed

    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    for answers in Parallel(workers, return_as="generator_unordered")(
        delayed(_check_chunk)(store, chunk, quick) for chunk in chunks
    ):
        yield from answers


def _check_chunk(
    store: Store, tasks: Sequence[tuple[LibraryObject, frozenset[str]]], quick: bool
) -> list[tuple[str, Found]]:
    return [(entry.object_id, check_object(store, entry, there, quick)) for entry, there in tasks]


def _files_there(entry: LibraryObject, files: Mapping[str, int]) -> frozenset[str]:
    """The object's files that hold anything; depths and cameras by the names of its pictures."""
    paths = set(entry.files)
    for path in entry.images:
        if match := IMAGE.fullmatch(path):
            paths.add(f"{path.removesuffix('.png')}.depth.png")
            paths.add(camera_path(match[1], int(match[2])))
    return frozenset(path for path in paths if files.get(path))
