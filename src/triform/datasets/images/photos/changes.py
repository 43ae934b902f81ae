"""What has changed in a collection since it was indexed: by path, size, time and content."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from triform.base.errors import UserError
from triform.datasets.images.photos.scan import PhotoFile, Scan

_PIECES, _PIECE = 16, 2**16
_SMALL_VIDEO = 2**24


@dataclass(frozen=True)
class KnownPhoto:
    """A file as it was indexed; attributes as in `PhotoFile`, and `digest` of its content."""

    size: int
    modified: int
    digest: str


@dataclass
class Changes:
    """Differences between an index and what is on the disk.

    Attributes:
        unchanged: Number of files that are as they were.
        new: Files to index, sorted by path: new ones and those whose content has changed.
        changed: Those of them that are in the index with another content.
        touched: Files with the same content and another time.
        moved: Path in the index -> the file that it is now.
        removed: Paths in the index that are gone.
        vanished: Number of files that were gone before they were read.
    """

    unchanged: int = 0
    new: list[PhotoFile] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    touched: list[PhotoFile] = field(default_factory=list)
    moved: dict[str, PhotoFile] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    vanished: int = 0

    @property
    def has_any(self) -> bool:
        """Whether the index has to be written."""
        return bool(self.new or self.touched or self.moved or self.removed)


def file_digest(file: PhotoFile) -> str:
    """sha256 of a photo; of a large video, of its size and sixteen pieces of it.

    Raises:
        UserError: It cannot be read.
    """
    is_large = file.kind == "video" and file.size > _SMALL_VIDEO
    try:
        with open(file.path, "rb") as stream:
            if not is_large:
                digest = hashlib.sha256()
                while piece := stream.read(2**20):
                    digest.update(piece)
                return digest.hexdigest()
            digest = hashlib.sha256(str(file.size).encode())
            for index in range(_PIECES):
                stream.seek(index * (file.size - _PIECE) // (_PIECES - 1))
                digest.update(stream.read(_PIECE))
        return digest.hexdigest()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file.path}: cannot be read ({reason})") from None


def find_changes(
    scan: Scan,
    known: Mapping[str, KnownPhoto],
    digest: Callable[[PhotoFile], str] = file_digest,
) -> Changes:
    """Compare what is on the disk with what is in an index.

    A file is read only where size or time do not tell: one with another time, and one that is new
    while another one of the same size is gone.

    Args:
        scan: What is on the disk.
        known: Path -> what was indexed.
        digest: Computes the digest of a file.
    """
    changes = Changes()
    present = {file.path for file in scan.files}
    gone = {
        path: photo for path, photo in known.items() if path not in present and scan.covers(path)
    }
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in sorted(gone):
        by_size[gone[path].size].append(path)
    for file in scan.files:
        old = known.get(file.path)
        if old is not None and (old.size, old.modified) == (file.size, file.modified):
            changes.unchanged += 1
            continue
        candidates = by_size.get(file.size, []) if old is None else []
        try:
            if old is not None and old.size == file.size and digest(file) == old.digest:
                changes.touched.append(file)
                continue
            content = digest(file) if candidates else ""
        except UserError:
            content = ""
            if not os.path.lexists(file.path):
                changes.vanished += 1
                if old is not None:
                    changes.removed.append(file.path)
                continue
        source = next((path for path in candidates if gone[path].digest == content), None)
        if source is not None:
            candidates.remove(source)
            changes.moved[source] = file
            continue
        changes.new.append(file)
        if old is not None:
            changes.changed.add(file.path)
    changes.removed = sorted([*changes.removed, *(gone.keys() - changes.moved.keys())])
    return changes
