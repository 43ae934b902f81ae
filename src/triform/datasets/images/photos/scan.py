"""Lists the photos, RAW photos and videos below folders, with what is left out and why."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from triform.base.errors import UserError
from triform.images import raw, video
from triform.images.read import IMAGE_SUFFIXES

EXCLUDED_FOLDERS = frozenset(
    {
        "#recycle",
        "$recycle.bin",
        "@eadir",
        "__macosx",
        "__pycache__",
        "lost+found",
        "node_modules",
        "site-packages",
        "system volume information",
    }
)
"""Folders of programs and of network disks, in lower case; and all hidden ones, such as .git."""
HEIC_SUFFIXES = (".heic", ".heif")
_DEVELOPED_SUFFIXES = (".jpg", ".jpeg", *HEIC_SUFFIXES)

Kind = Literal["image", "raw", "video"]


@dataclass(frozen=True)
class PhotoFile:
    """A file that may be indexed.

    Attributes:
        path: Absolute; bytes that are no UTF-8 are surrogates, as `os` has them.
        size: Bytes.
        modified: Nanoseconds since 1970.
        kind: By the suffix.
    """

    path: str
    size: int
    modified: int
    kind: Kind


@dataclass
class Scan:
    """What is below folders.

    Attributes:
        files: Sorted by path.
        roots: The folders, absolute.
        closed: Folders that cannot be listed; nothing is known of what is in them.
        excluded: Number of folders and files that are left out by their names.
        links: Number of links that are not followed.
        raw_copies: Number of RAW photos beside a JPEG or HEIC of the same name.
        packages: Extra that is not installed -> number of files that need it.
    """

    files: list[PhotoFile] = field(default_factory=list)
    roots: tuple[str, ...] = ()
    closed: list[str] = field(default_factory=list)
    excluded: int = 0
    links: int = 0
    raw_copies: int = 0
    packages: Counter[str] = field(default_factory=Counter)

    def covers(self, path: str) -> bool:
        """Whether a file that is not in `files` is gone, and not only out of reach."""
        return any(is_below(path, root) for root in self.roots) and not any(
            is_below(path, folder) for folder in self.closed
        )


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def scan_photos(
    folders: Sequence[str], *, exclude: Sequence[str] = (), follow_links: bool = False
) -> Scan:
    """List photos below folders, each file once.

    Args:
        folders: Folders; what is in the folders below them is listed too.
        exclude: Patterns such as `*.png` or `2019/raw`, of names or of paths below a folder.
        follow_links: Follow links to files and folders; each folder is visited once.

    Raises:
        UserError: A folder is not there or cannot be listed.
    """
    scan = Scan(roots=tuple(dict.fromkeys(_root(folder) for folder in folders)))
    walk = _Walk(scan, tuple(exclude), follow_links)
    for root in scan.roots:
        walk.visit(root, root)
    for root in scan.roots:
        if root in scan.closed:
            raise UserError(f"{root}: cannot be listed; check the permissions of the folder")
    # After all real folders: what is reached by a link and without has its real path.
    while walk.linked:
        walk.visit(*walk.linked.pop(0))
    scan.files = sorted(walk.found.values(), key=lambda file: file.path)
    return scan


def _root(folder: str) -> str:
    path = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(path):
        kind = "a file" if os.path.exists(path) else "not there"
        raise UserError(f"{folder}: {kind}, expected a folder of photos")
    return path


class _Walk:
    """A walk over folders, which fills a scan."""

    def __init__(self, scan: Scan, exclude: tuple[str, ...], follow_links: bool):
        self.scan, self.exclude, self.follow_links = scan, exclude, follow_links
        self.found: dict[str, PhotoFile] = {}
        self.linked: list[tuple[str, str]] = []
        self._visited: set[tuple[int, int]] = set()
        self._installed: dict[str, bool] = {}

    def visit(self, folder: str, root: str) -> None:
        """List a folder and those below it; a stack, since folders may be nested deeply."""
        stack = [folder]
        while stack:
            folder = stack.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                self.scan.closed.append(folder)
                continue
            names = {entry.name.lower() for entry in listed}
            for entry in listed:
                self._look_at(entry, names, root, stack)

    def _look_at(
        self, entry: os.DirEntry[str], names: set[str], root: str, stack: list[str]
    ) -> None:
        try:
            is_link = entry.is_symlink()
            is_folder = entry.is_dir(follow_symlinks=is_link)
            if self._is_excluded(entry, root, is_folder=is_folder):
                self.scan.excluded += 1
            elif is_link and not self.follow_links:
                self.scan.links += is_folder or _kind(entry.name) is not None
            elif is_link and is_folder:
                self.linked.append((entry.path, root))
            elif is_folder:
                stack.append(entry.path)
            elif (kind := _kind(entry.name)) is not None:
                self._add(entry, kind, names)
        except OSError:  # gone since the folder was listed, or a link in a circle
            return

    def _is_excluded(self, entry: os.DirEntry[str], root: str, *, is_folder: bool) -> bool:
        name = entry.name
        if is_folder and name.lower() in EXCLUDED_FOLDERS:
            return True
        if name.startswith("."):
            return is_folder or _kind(name) is not None
        if not self.exclude:
            return False
        below = os.path.relpath(entry.path, root).replace(os.sep, "/")
        return any(
            fnmatchcase(name, pattern) or fnmatchcase(below, pattern.strip("/"))
            for pattern in self.exclude
        )

    def _add(self, entry: os.DirEntry[str], kind: Kind, names: set[str]) -> None:
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            return
        stem, suffix = os.path.splitext(entry.name.lower())
        if kind == "raw" and any(stem + each in names for each in _DEVELOPED_SUFFIXES):
            self.scan.raw_copies += 1
            return
        package, extra = _package(kind, suffix)
        if package and not self._is_installed(package):
            self.scan.packages[extra] += 1
            return
        path = entry.path
        self.found[path] = PhotoFile(path, status.st_size, status.st_mtime_ns, kind)

    def _is_installed(self, package: str) -> bool:
        if package not in self._installed:
            self._installed[package] = importlib.util.find_spec(package) is not None
        return self._installed[package]


def _kind(name: str) -> Kind | None:
    lower = name.lower()
    if lower.endswith(IMAGE_SUFFIXES):
        return "image"
    if lower.endswith(raw.RAW_SUFFIXES):
        return "raw"
    return "video" if lower.endswith(video.VIDEO_SUFFIXES) else None


def _package(kind: Kind, suffix: str) -> tuple[str, str]:
    """The package that a file needs, and the extra that installs it; empty for none."""
    if kind == "raw":
        return raw.PACKAGE, raw.EXTRA
    if kind == "video":
        return video.PACKAGE, video.EXTRA
    return ("pillow_heif", "heic") if suffix in HEIC_SUFFIXES else ("", "")
