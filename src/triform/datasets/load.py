"""Data sets of shapes by name or path, downloaded or generated if needed."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from triform.base.archive import ArchiveError, unpack
from triform.base.download import download
from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.base.settings.nearest import nearest
from triform.datasets import debian
from triform.datasets.managed_folder import is_managed, make_folder
from triform.datasets.parametric_dataset import write_parametric
from triform.datasets.shape import LIBRARY_SUFFIX, read_marker
from triform.datasets.testdataset import write_testdataset

logger = get_logger(__name__)

DEFAULT_OBJECTS = 600
_MAX_OBJECTS = 1_000_000
# Raised when the same seed gives other objects; older folders are then replaced.
TESTDATASET_VERSION = 1
PARAMETRIC_VERSION = 1
# Data sets that are made here, with their versions.
_GENERATED = {
    "testdataset": (write_testdataset, TESTDATASET_VERSION),
    "parametric": (write_parametric, PARAMETRIC_VERSION),
}

PARAMETRIC_SOURCES = frozenset(_GENERATED)
"""Data sets whose captions are exact, so that a stretched copy of a shape would need others."""


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A known data set.

    Attributes:
        about: short description.
        objects: number of objects.
        licence: short name.
        url: of its archive.
        size: of the archive, bytes.
        sha256: of the archive.
        folder: folder of the meshes inside the archive.
        archive_of: the data set whose archive contains it.
        login: how to get it, if a login is needed.
    """

    about: str
    objects: int
    licence: str
    url: str = ""
    size: int | None = None
    sha256: str | None = None
    folder: str = ""
    archive_of: str = ""
    login: str = ""


_MODELNET10 = DatasetInfo(
    "CAD models of ten kinds of furniture",
    4899,
    "for academic research only; the models belong to their authors",
    url="https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    size=473_402_300,
    sha256="9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",
    folder="ModelNet10",
)
_SHAPENETCORE = DatasetInfo(
    "51,300 models of 55 kinds",
    51300,
    "ShapeNet terms of use",
    url="https://shapenet.org",
    login="sign in at https://shapenet.org (an academic account is free), download the archive, "
    "unpack it and give its folder: --dataset path/to/{name}",
)

DATASETS: dict[str, DatasetInfo] = {
    "testdataset": DatasetInfo(
        "parametric furniture, people and vehicles (testdataset:4000 for 4000)",
        DEFAULT_OBJECTS,
        "Apache-2.0",
    ),
    "sweethome3d": DatasetInfo(
        "real furniture models with names in 20 languages",
        820,
        "CC0, CC BY 3.0",
        url="https://packages.debian.org/sweethome3d-furniture",
    ),
    "parametric": DatasetInfo(
        "parametric objects with counted parts, colours, materials (parametric:4000 for 4000)",
        DEFAULT_OBJECTS,
        "Apache-2.0",
    ),
    "modelnet10": _MODELNET10,
    "modelnet40": DatasetInfo(
        "CAD models of forty kinds of things",
        12311,
        _MODELNET10.licence,
        url="https://modelnet.cs.princeton.edu/ModelNet40.zip",
        size=2_039_180_837,
        sha256="42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
        folder="ModelNet40",
    ),
    "chairs": dataclasses.replace(
        _MODELNET10,
        about="the chairs of modelnet10",
        objects=989,
        folder="ModelNet10/chair",
        archive_of="modelnet10",
    ),
    "tables": dataclasses.replace(
        _MODELNET10,
        about="the tables of modelnet10",
        objects=492,
        folder="ModelNet10/table",
        archive_of="modelnet10",
    ),
    "shapenetcore": _SHAPENETCORE,
    "shapenetsem": dataclasses.replace(
        _SHAPENETCORE, about="12,000 models with metadata", objects=12000
    ),
}
DATASET_LINKS: dict[str, str] = {name: info.url for name, info in DATASETS.items() if info.url}


def load_dataset(
    source: str | Path | Sequence[str | Path], download_path: str | Path = "datasets"
) -> list[Path]:
    """Find, download or generate data sets.

    Args:
        source: a folder, a furniture library (`.sh3f`) or a mesh file; a known name in any case
            ("testdataset:4000" for another number of objects); or a list of these. A string with
            commas is a list.
        download_path: folder of downloaded and generated data sets.

    Returns:
        A folder (or library) for each, as `triform.datasets.shape.list_shapes` takes them.

    Raises:
        UsageError: neither a path nor a known name.
        UserError: the download failed, or it needs a login.
    """
    if isinstance(source, (str, Path)):
        if not isinstance(source, str) or "," not in source or os.path.exists(source):
            return [_resolve(source, Path(download_path))]
        source = [part.strip() for part in source.split(",") if part.strip()]
    if not source:
        raise UsageError(
            "dataset: no data set is given; give a folder or a name from `triform data list`"
        )
    return list(dict.fromkeys(_resolve(part, Path(download_path)) for part in source))


def list_datasets(download_path: str | Path = "datasets") -> list[dict[str, Any]]:
    """Known data sets with size, licence, URL and state."""
    rows = []
    for name, info in DATASETS.items():
        ready = _find(name, Path(download_path))
        missing = "needs a login" if info.login else "to download" if info.url else "made here"
        rows.append(
            {
                "name": name,
                "objects": info.objects,
                "state": "ready" if ready else missing,
                "licence": info.licence,
                "about": info.about,
                "url": info.url,
                "path": str(ready or ""),
            }
        )
    return rows


def clear_dataset_cache(download_path: str | Path = "datasets") -> list[Path]:
    """Remove all downloaded and generated data sets; folders of the user stay.

    Returns:
        The removed paths.
    """
    removed = cached_datasets(download_path)
    for path in removed:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for lock in Path(download_path).glob(".*.lock"):
        if lock.name[1 : -len(".lock")] in DATASETS:
            lock.unlink()  # of no interest to anybody, so it is not listed
    return removed


def cached_datasets(download_path: str | Path = "datasets") -> list[Path]:
    """Paths that `clear_dataset_cache` removes: marked folders, and unfinished downloads."""
    root = Path(download_path)
    if not root.is_dir():
        return []
    archives = {Path(info.url).name for info in DATASETS.values() if info.url.endswith(".zip")}
    managed_names = {f"{name}{end}" for name in archives for end in ("", ".part", ".part.version")}
    # Unfinished folders of killed processes; the part in the middle is random.
    partial = re.compile(rf"\.({'|'.join(DATASETS)})\.(\w+\.)?making")
    return sorted(
        path
        for path in root.iterdir()
        if path.name in managed_names
        or partial.fullmatch(path.name)
        or (not path.is_symlink() and is_managed(path))
    )


def select_local_dataset() -> Path | None:
    """Let the user pick a folder in a window; None if it was closed without a choice.

    Raises:
        UserError: PyQt6 and PyQt5 are missing, or there is no display.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise UserError(
            "pick: there is no display to open a window on; "
            "give the folder instead: --dataset path/to/folder"
        )
    try:
        from PyQt6.QtWidgets import QApplication, QFileDialog
    except ImportError:
        try:
            from PyQt5.QtWidgets import QApplication, QFileDialog
        except ImportError:
            raise UserError(
                "pick: the window needs PyQt6 or PyQt5 (pip install PyQt6); "
                "without it give the folder: --dataset path/to/folder"
            ) from None
    application = QApplication.instance() or QApplication([])
    selected = QFileDialog.getExistingDirectory(None, "Choose a folder of 3D models")
    del application  # must live until here: without it there is no window
    return Path(selected) if selected else None


def _resolve(source: str | Path, root: Path) -> Path:
    """Path of one data set; downloaded or generated if needed."""
    # Unlike Path.exists, this returns false for a string that cannot be a path.
    if os.path.exists(os.path.expanduser(source)) and str(source).strip():
        return Path(source).expanduser()
    name, _, count = str(source).strip().lower().partition(":")
    if name not in DATASETS or (count and name not in _GENERATED):
        hint = nearest(name, DATASETS) or f"; known names: {', '.join(DATASETS)}"
        raise UsageError(
            f"dataset: {str(source)[:200]!r} is neither a folder that exists nor a known name{hint}"
        )
    if DATASETS[name].login and not _find(name, root):
        raise UserError(
            f"{name}: needs a login, so it cannot be downloaded for you; "
            f"{DATASETS[name].login.format(name=name)}"
        )
    num_objects = _parse_num_objects(name, count)
    if path := _find(name, root, num_objects):
        return path
    root.mkdir(parents=True, exist_ok=True)
    owner = DATASETS[name].archive_of or name
    with FileLock(root / f".{owner}.lock"):
        # Another process may have finished it while this one waited.
        if not _find(name, root, num_objects):
            _fetch(owner, root, num_objects)
    path = _find(name, root, num_objects)
    if not path:
        raise UserError(
            f"{name}: its archive has no folder {DATASETS[name].folder}; "
            f"remove {root / owner} and report its URL"
        )
    return path


def _parse_num_objects(name: str, count: str) -> int:
    """Number of objects after the colon of "testdataset:4000"."""
    if not count:
        return DEFAULT_OBJECTS
    if not count.isdecimal() or not 1 <= int(count) <= _MAX_OBJECTS:
        raise UsageError(
            f"dataset: {name}:{count} asks for {count} objects; "
            f"give a number from 1 to {_MAX_OBJECTS}"
        )
    return int(count)


def _find(name: str, root: Path, objects: int = DEFAULT_OBJECTS) -> Path | None:
    """Path of a known data set, if it is complete."""
    if name in _GENERATED:
        folder = _generated_folder(name, root, objects)
        marker = read_marker(folder)
        expected = {"objects": objects, "version": _GENERATED[name][1]}
        return folder if expected.items() <= marker.items() else None
    if name == "sweethome3d":
        folders = (root / name, debian.FURNITURE.installed_folder)
        return next((path for path in folders if any(path.glob(f"*{LIBRARY_SUFFIX}"))), None)
    info = DATASETS[name]
    folder = root / (info.archive_of or name)
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    in_archive = folder / info.folder
    # A folder unpacked by the user may lack the top folder of the archive.
    without_top = folder.joinpath(*Path(info.folder).parts[1:])
    candidates = [path for path in (in_archive, without_top) if path.is_dir()]
    # The folder of another archive has no meshes of this data set.
    return next((path for path in candidates if next(path.rglob("*.[oO][fF][fF]"), None)), None)


def _generated_folder(name: str, root: Path, objects: int) -> Path:
    return root / (name if objects == DEFAULT_OBJECTS else f"{name}_{objects}")


def _fetch(name: str, root: Path, objects: int) -> None:
    """Download or generate one data set; its folder appears when it is complete."""
    metadata: dict[str, object] = {"licence": DATASETS[name].licence}
    if name in _GENERATED:
        write, version = _GENERATED[name]
        target = _generated_folder(name, root, objects)
        metadata |= {"objects": objects, "version": version}

        def make(folder: Path) -> None:
            with progress_bar(desc=target.name, total=objects, unit="object") as bar:
                write(folder, objects, progress=bar.update)

        make_folder(name, target, make, metadata)
    elif name == "sweethome3d":
        logger.info("%s: downloading the Debian package %s, 114 MB", name, debian.FURNITURE.name)
        make_folder(
            name, root / name, lambda folder: debian.fetch(debian.FURNITURE, folder), metadata
        )
    else:
        info = DATASETS[name]
        archive = download(info.url, root / Path(info.url).name, sha256=info.sha256, size=info.size)
        try:
            metadata["url"] = info.url
            make_folder(name, root / name, lambda folder: unpack(archive, folder), metadata)
        except ArchiveError:
            archive.unlink()  # or the next call would find the same damaged file
            raise
        archive.unlink()
