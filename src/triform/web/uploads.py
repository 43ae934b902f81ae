"""Uploaded files: checked for what they are, limited, deleted when they are old."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.printable import printable, shorten

ID = re.compile(r"[0-9a-f]{32}")
MAX_NAME = 80
CHECKS_AT_ONCE = 2
MAX_SIDE = 1024
"""Pixels to which a large image is reduced while it is checked."""


class UploadRefused(UserError):
    """A file that is not taken; the message says why."""


class Uploads:
    """The folder of uploaded files, each in a folder of its own with an unguessable name.

    Args:
        root: The folder; emptied at the start of a server.
        max_bytes: Largest file.
        max_total_bytes: All files together; the oldest are deleted.
    """

    def __init__(self, root: Path, max_bytes: float, max_total_bytes: float):
        self.root, self.max_bytes, self.max_total_bytes = root, max_bytes, max_total_bytes
        self._lock = threading.Lock()
        self._checks = threading.Semaphore(CHECKS_AT_ONCE)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    def add(self, name: str, chunks: Iterable[bytes]) -> dict[str, object]:
        """Keep a file, if it is an image or a mesh that can be read.

        Args:
            name: Its name at the user's; only its suffix and letters are used.
            chunks: Its bytes.

        Returns:
            `id`, `name`, `kind` (`image` or `mesh`), `bytes`, and `about`: size or faces.

        Raises:
            UploadRefused: Of another kind, too large, empty, or damaged.
        """
        shown, suffix = safe_name(name)
        kind = kind_of(suffix)
        if kind is None:
            raise UploadRefused(
                f"{shown}: {suffix or 'no suffix'}: neither an image nor a mesh that can be read"
            )
        identity = secrets.token_hex(16)
        path = self.root / identity / shown
        try:
            size = self._write(path, chunks, shown)
            with self._checks:
                about = check(path, shown)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        values: dict[str, object] = {"id": identity, "name": shown, "kind": kind}
        values |= {"bytes": size, "about": about}
        with atomic_write(path.parent / ".upload.json", "w") as file:
            json.dump(values, file)
        self._delete_oldest(identity)
        return values

    def _write(self, path: Path, chunks: Iterable[bytes], shown: str) -> int:
        size = 0
        with atomic_write(path) as file:
            for chunk in chunks:
                size += len(chunk)
                if size > self.max_bytes:
                    raise UploadRefused(
                        f"{shown}: larger than the limit of {self.max_bytes / 1e6:g} MB"
                    )
                file.write(chunk)
            if not size:
                raise UploadRefused(f"{shown}: an empty file")
        return size

    def path(self, identity: str) -> Path:
        """The file of an upload.

        Raises:
            ValueError: There is none, or not any more.
        """
        if ID.fullmatch(identity):
            for path in sorted((self.root / identity).glob("[!.]*")):
                return path
        raise ValueError("no such upload, or deleted since; send the file again")

    def _delete_oldest(self, newest: str) -> None:
        """Delete uploads until all together are within their limit."""
        with self._lock:
            # Those that are complete; others are still being written.
            complete = [path.parent for path in self.root.glob("*/.upload.json")]
            folders = sorted(complete, key=lambda path: path.stat().st_mtime)
            sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
            total = sum(sizes.values())
            for folder in folders:
                if total <= self.max_total_bytes or folder.name == newest:
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]


def kind_of(suffix: str) -> str | None:
    """`image` or `mesh`; None for files that are neither."""
    from triform.images.read import IMAGE_SUFFIXES

    if suffix in IMAGE_SUFFIXES:
        return "image"
    from triform.datasets.shape import MESH_SUFFIXES  # takes a second

    return "mesh" if suffix in MESH_SUFFIXES else None


def safe_name(name: str) -> tuple[str, str]:
    """A file name without folders, controls and leading dots; and its suffix in lower case."""
    last = printable(re.split(r"[/\\]", name)[-1]).strip()
    stem, dot, suffix = last.rpartition(".")
    stem = re.sub(r"[^\w\- ]+", "_", stem if dot else last).strip(" _")[:MAX_NAME] or "file"
    suffix = re.sub(r"[^a-z0-9]", "", suffix.lower())[:8] if dot else ""
    return (f"{stem}.{suffix}", f".{suffix}") if suffix else (stem, "")


def check(path: Path, shown: str) -> str:
    """Read an image or a mesh whole; its size in words.

    Raises:
        UploadRefused: It cannot be read.
    """
    from triform.images.read import IMAGE_SUFFIXES, read_image

    try:
        if path.suffix in IMAGE_SUFFIXES:
            image = read_image(path, longest=MAX_SIDE)
            return f"{image.width} x {image.height}"
        from triform.geometry.io.load import load_mesh  # takes a second

        mesh = load_mesh(path)
        return f"{len(mesh.faces)} faces"
    except UserError as error:
        reason = str(error).replace(f"{path}", shown)
        raise UploadRefused(shorten(reason, 300)) from error
    except (RecursionError, MemoryError) as error:
        raise UploadRefused(f"{shown}: too large or nested too deep to be read") from error
