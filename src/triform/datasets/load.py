"""Data sets by name or path: downloaded, unpacked or made, whatever each needs."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from triform.base.archive import ArchiveError, unpack
from triform.base.download import download
from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.datasets import debian
from triform.datasets.furniture import write_testdataset
from triform.datasets.shape import LIBRARY_SUFFIX, MARKER, read_marker

logger = get_logger(__name__)

DEFAULT_OBJECTS = 600
_MAX_OBJECTS = 1_000_000
# Raised when the same seed gives other objects: what was made before is then made again.
TESTDATASET_VERSION = 1
_MODELNET_LICENCE = "for academic research only; the models belong to their makers"
_SHAPENET_HOW = (
    "sign in at https://shapenet.org (an academic account is free), download the archive, unpack "
    "it and give its folder: --dataset path/to/{name}"
)


@dataclasses.dataclass(frozen=True)
class Known:
    """A data set with a name.

    Attributes:
        about: what it is, in a few words.
        objects: how many; 0 where it depends.
        licence: in a few words.
        url: where its archive is.
        size: of the archive, bytes.
        sha256: of the archive.
        folder: the folder inside the archive that holds the meshes.
        shares: the data set whose archive and folder it is a part of.
        login: how to get it where a login is needed.
    """

    about: str
    objects: int
    licence: str
    url: str = ""
    size: int | None = None
    sha256: str | None = None
    folder: str = ""
    shares: str = ""
    login: str = ""


_MODELNET10_URL = "https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip"
_MODELNET10_SIZE = 473_402_300
_MODELNET10_SHA256 = "9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51"
_MODELNET40_URL = "https://modelnet.cs.princeton.edu/ModelNet40.zip"
_MODELNET40_SIZE = 2_039_180_837
_MODELNET40_SHA256 = "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"
_SHAPENET_URL = "https://shapenet.org"

KNOWN: dict[str, Known] = {
    "testdataset": Known(
        "furniture, people and vehicles made from parameters (testdataset:4000 for 4000)",
        DEFAULT_OBJECTS,
        "Apache-2.0",
    ),
    "sweethome3d": Known(
        "real furniture models with names in 20 languages",
        820,
        "CC0, CC BY 3.0",
        url="https://packages.debian.org/sweethome3d-furniture",
    ),
    "modelnet10": Known(
        "CAD models of ten kinds of furniture",
        4899,
        _MODELNET_LICENCE,
        url=_MODELNET10_URL,
        size=_MODELNET10_SIZE,
        sha256=_MODELNET10_SHA256,
        folder="ModelNet10",
    ),
    "modelnet40": Known(
        "CAD models of forty kinds of things",
        12311,
        _MODELNET_LICENCE,
        url=_MODELNET40_URL,
        size=_MODELNET40_SIZE,
        sha256=_MODELNET40_SHA256,
        folder="ModelNet40",
    ),
    "chairs": Known(
        "the chairs of modelnet10",
        989,
        _MODELNET_LICENCE,
        url=_MODELNET10_URL,
        size=_MODELNET10_SIZE,
        sha256=_MODELNET10_SHA256,
        folder="ModelNet10/chair",
        shares="modelnet10",
    ),
    "tables": Known(
        "the tables of modelnet10",
        492,
        _MODELNET_LICENCE,
        url=_MODELNET10_URL,
        size=_MODELNET10_SIZE,
        sha256=_MODELNET10_SHA256,
        folder="ModelNet10/table",
        shares="modelnet10",
    ),
    "shapenetcore": Known(
        "51,300 models of 55 kinds",
        51300,
        "ShapeNet terms of use",
        url=_SHAPENET_URL,
        login=_SHAPENET_HOW,
    ),
    "shapenetsem": Known(
        "12,000 models with much about each",
        12000,
        "ShapeNet terms of use",
        url=_SHAPENET_URL,
        login=_SHAPENET_HOW,
    ),
}
DATASET_LINKS: dict[str, str] = {name: known.url for name, known in KNOWN.items() if known.url}


def load_dataset(
    source: str | Path | Sequence[str | Path], download_path: str | Path = "datasets"
) -> list[Path]:
    """Finds, downloads or makes data sets.

    Args:
        source: a folder, a library (``.sh3f``) or a mesh file; a known name in any case
            ("testdataset:4000" for another number of objects); or a list of these. A text with
            commas is a list.
        download_path: folder for what has to be downloaded or made.

    Returns:
        A folder (or library) for each, ready for `triform.datasets.shape.list_shapes`.

    Raises:
        UsageError: neither a path nor a known name.
        UserError: the download failed, or it needs a login.
    """
    if isinstance(source, (str, Path)):
        if not isinstance(source, str) or "," not in source or os.path.exists(source):
            return [_load_one(source, Path(download_path))]
        source = [part.strip() for part in source.split(",") if part.strip()]
    if not source:
        raise UsageError(
            "dataset: no data set is given; give a folder or a name from `triform data list`"
        )
    return list(dict.fromkeys(_load_one(one, Path(download_path)) for one in source))


def list_datasets(download_path: str | Path = "datasets") -> list[dict[str, Any]]:
    """Every known data set with its size, licence, address and state, as plain data."""
    rows = []
    for name, known in KNOWN.items():
        ready = _find(name, Path(download_path))
        state = (
            "ready"
            if ready
            else "needs a login"
            if known.login
            else "made here"
            if not known.url
            else "to download"
        )
        rows.append(
            {
                "name": name,
                "objects": known.objects,
                "state": state,
                "licence": known.licence,
                "about": known.about,
                "url": known.url,
                "path": str(ready or ""),
            }
        )
    return rows


def clear_dataset_cache(download_path: str | Path = "datasets") -> list[Path]:
    """Removes every data set that was downloaded or made here; folders of the user's own stay.

    Returns:
        What was removed.
    """
    removed = cached_datasets(download_path)
    for path in removed:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return removed


def cached_datasets(download_path: str | Path = "datasets") -> list[Path]:
    """What `clear_dataset_cache` would remove: marked folders, and downloads under way."""
    root = Path(download_path)
    if not root.is_dir():
        return []
    archives = {Path(known.url).name for known in KNOWN.values() if known.url.endswith(".zip")}
    ours = {f"{name}{end}" for name in archives for end in ("", ".part", ".part.version")}
    ours |= {f".{name}.lock" for name in KNOWN}
    # What a killed process was making; the part in the middle is drawn by lot.
    making = re.compile(rf"\.({'|'.join(KNOWN)})\.(\w+\.)?making")
    return sorted(
        path for path in root.iterdir()
        if path.name in ours or making.fullmatch(path.name)
        or (not path.is_symlink() and _is_ours(path))
    )  # fmt: skip


def select_local_dataset() -> Path | None:
    """Lets the user pick a folder in a window; None where the window was closed without a choice.

    Raises:
        UserError: no PyQt6 or PyQt5 here, or no display to open a window on.
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
    chosen = QFileDialog.getExistingDirectory(None, "Choose a folder of 3D models")
    del application  # kept until here: without it there is no window
    return Path(chosen) if chosen else None


def _is_ours(folder: Path) -> bool:
    """Whether this program made or downloaded a folder."""
    return folder.is_dir() and read_marker(folder).get("made_by") == "triform"


def _load_one(source: str | Path, root: Path) -> Path:
    # Unlike Path.exists, this says no to what cannot be a path at all.
    if os.path.exists(os.path.expanduser(source)) and str(source).strip():
        return Path(source).expanduser()
    name, _, count = str(source).strip().lower().partition(":")
    if name not in KNOWN or (count and name != "testdataset"):
        nearest = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.6)
        hint = f"perhaps you meant {nearest[0]}" if nearest else f"known names: {', '.join(KNOWN)}"
        raise UsageError(
            f"dataset: {str(source)[:200]!r} is neither a folder that exists "
            f"nor a known name; {hint}"
        )
    if KNOWN[name].login and not _find(name, root):
        raise UserError(
            f"{name}: needs a login, so it cannot be downloaded for you; "
            f"{KNOWN[name].login.format(name=name)}"
        )
    number = _objects(count)
    if found := _find(name, root, number):
        return found
    root.mkdir(parents=True, exist_ok=True)
    owner = KNOWN[name].shares or name
    with FileLock(root / f".{owner}.lock"):
        # Another process may have brought it while this one waited.
        if not _find(name, root, number):
            _bring(owner, root, number)
    found = _find(name, root, number)
    if not found:
        raise UserError(
            f"{name}: its archive has no folder {KNOWN[name].folder}; "
            f"remove {root / owner} and report the address"
        )
    return found


def _objects(count: str) -> int:
    if not count:
        return DEFAULT_OBJECTS
    if not count.isdecimal() or not 1 <= int(count) <= _MAX_OBJECTS:
        raise UsageError(
            f"dataset: testdataset:{count} asks for {count} objects; "
            f"give a number from 1 to {_MAX_OBJECTS}"
        )
    return int(count)


def _find(name: str, root: Path, objects: int = DEFAULT_OBJECTS) -> Path | None:
    """Where a known data set is, if it is complete."""
    if name == "testdataset":
        folder = _testdataset_folder(root, objects)
        marker = read_marker(folder)
        return (
            folder
            if marker.get("objects") == objects and marker.get("version") == TESTDATASET_VERSION
            else None
        )
    if name == "sweethome3d":
        places = (root / name, debian.FURNITURE.installed)
        return next((place for place in places if any(place.glob(f"*{LIBRARY_SUFFIX}"))), None)
    known = KNOWN[name]
    folder = root / (known.shares or name)
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    inside = folder / known.folder
    # A folder that the user has put there himself may lack the archive's own top folder.
    without_top = folder.joinpath(*Path(known.folder).parts[1:])
    there = [place for place in (inside, without_top) if place.is_dir()]
    # The folder of any other archive has no meshes of this data set in it.
    return next((place for place in there if next(place.rglob("*.[oO][fF][fF]"), None)), None)


def _testdataset_folder(root: Path, objects: int) -> Path:
    return root / ("testdataset" if objects == DEFAULT_OBJECTS else f"testdataset_{objects}")


def _bring(name: str, root: Path, objects: int) -> None:
    """Downloads or makes one data set; its folder appears when it is complete."""
    if name == "testdataset":
        target = _testdataset_folder(root, objects)

        def make(folder: Path) -> None:
            with tqdm(
                total=objects, desc=target.name, unit="object", disable=None, leave=False
            ) as bar:
                write_testdataset(folder, objects, progress=bar.update)

        _complete(name, target, make, objects=objects, version=TESTDATASET_VERSION)
    elif name == "sweethome3d":
        logger.info("%s: bringing Debian's package %s, 114 MB", name, debian.FURNITURE.name)
        _complete(name, root / name, lambda folder: debian.fetch(debian.FURNITURE, folder))
    else:
        known = KNOWN[name]
        archive = download(
            known.url, root / Path(known.url).name, sha256=known.sha256, size=known.size
        )
        try:
            _complete(name, root / name, lambda folder: unpack(archive, folder), url=known.url)
        except ArchiveError:
            archive.unlink()  # or the next call would find the same bad file again
            raise
        archive.unlink()


def _complete(name: str, target: Path, make: Callable[[Path], object], **facts: object) -> None:
    if target.exists() and any(target.iterdir()) and not _is_ours(target):
        raise UserError(
            f"{target}: is in the way and not from this program; "
            "move it, or choose another download folder"
        )
    _remove_unfinished(name, target.parent)
    # A folder that this call makes, in which nobody else can lay links: `making` is not there yet.
    private = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}.", suffix=".making"))
    making = private / target.name
    try:
        _fill(name, target, making, make, facts)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _remove_unfinished(name: str, parent: Path) -> None:
    """Removes what a killed process was making; called by the one that holds the lock."""
    for left in parent.glob(f".{name}.*making"):
        shutil.rmtree(left, ignore_errors=True)  # which follows no link


def _fill(
    name: str, target: Path, making: Path, make: Callable[[Path], object], facts: dict[str, object]
) -> None:
    """Makes a data set in a folder and gives it its name."""
    make(making)
    marker = {"name": name, "made_by": "triform", "licence": KNOWN[name].licence, **facts}
    with atomic_write(making / MARKER) as stream:
        stream.write(json.dumps(marker, indent=2).encode())
    if target.exists():
        shutil.rmtree(target)
    os.replace(making, target)
