"""Listing of the files below a folder that have one of some suffixes; what is left out is said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from triform.base.logging import get_logger
from triform.base.printable import printable

logger = get_logger(__name__)

# Files that lie beside data of any kind and are nobody's data.
COMPANION_SUFFIXES = (
    *(".csv", ".htm", ".html", ".ini", ".json", ".jsonl", ".lock", ".log", ".md", ".npz", ".pdf"),
    *(".rst", ".rtf", ".sha256", ".tsv", ".txt", ".url", ".xml", ".yaml", ".yml"),
)
_COMPANION_NAMES = (
    *("AUTHORS", "CHANGELOG", "CONTRIBUTING", "COPYING", "COPYRIGHT", "LICENCE", "LICENSE"),
    *("MAKEFILE", "NOTICE", "README", "THUMBS.DB", "DESKTOP.INI"),
)
_MAX_NAMES = 4


def list_files(
    folder: Path,
    suffixes: Collection[str],
    *,
    companions: Collection[str] = (),
    recursive: bool = True,
) -> list[Path]:
    """List files by their suffixes, sorted, and warn once of what else is there.

    Hidden files and folders are left out without a word, and links to folders, which may loop, with
    one. Where nothing is found nothing is said: `left_out` is for the caller's error.

    Args:
        folder: any folder.
        suffixes: lower-case endings with the dot, such as ".obj" or ".wrl.gz".
        companions: suffixes of other files that belong there, such as ".mtl"; texts always do.
        recursive: also the folders inside.
    """
    found, message = _scan(folder, suffixes, companions, recursive=recursive)
    if found and message:
        logger.warning("%s: left out %s", folder, message)
    return found


def left_out(folder: Path, suffixes: Collection[str], companions: Collection[str] = ()) -> str:
    """What `list_files` leaves out, as the end of a sentence; "" if nothing."""
    message = _scan(folder, suffixes, companions, recursive=True)[1] if folder.is_dir() else ""
    return f"; left out {message}" if message else ""


def _scan(
    folder: Path, suffixes: Collection[str], companions: Collection[str], *, recursive: bool
) -> tuple[list[Path], str]:
    """Files with the suffixes, sorted, and a description of the others."""
    endings, quiet = tuple(suffixes), {*companions, *COMPANION_SUFFIXES}
    found: list[Path] = []
    others: Counter[str] = Counter()
    links: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        links += [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in names:
            lower = name.lower()
            if name.startswith("."):
                continue
            if lower.endswith(endings):
                found.append(Path(parent, name))
            elif not (
                (suffix := Path(lower).suffix) in quiet or name.upper().startswith(_COMPANION_NAMES)
            ):
                others[suffix or "no suffix"] += 1
        if not recursive:
            break
    return sorted(found), _describe(others, links if recursive else [])


def has_files(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether a file with one of some suffixes is below a folder, hidden ones aside."""
    endings = tuple(suffixes)
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        if any(name.lower().endswith(endings) and name[0] != "." for name in names):
            return True
    return False


def _describe(others: Counter[str], links: list[str]) -> str:
    """Describe files of other kinds and linked folders; "" if there are none."""
    parts = []
    if total := others.total():
        kinds = others.most_common()
        listed = ", ".join(f"{count} {printable(kind)}" for kind, count in kinds[:_MAX_NAMES])
        listed += ", ..." if len(kinds) > _MAX_NAMES else ""
        parts.append(f"{total} file{'s' * (total > 1)} of other kinds ({listed})")
    if links:
        names = ", ".join(map(printable, sorted(links)[:_MAX_NAMES]))
        names += ", ..." if len(links) > _MAX_NAMES else ""
        parts.append(f"{len(links)} linked folder{'s' * (len(links) > 1)} ({names})")
    return " and ".join(parts)
