"""What a user may name: uploads, results, runs, data sets and the folders of the command line.

A request never holds a path. It holds references, `upload:ID`, `folder:NAME/chairs`,
`run:SYSTEM/NAME`, `result:ID/FILE`, `input:ID/FILE`, `example:NAME`, which are looked up here;
whatever else looks like a path is refused before a verb sees it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from triform.base.errors import UsageError
from triform.base.printable import shorten
from triform.web.results import NoSuchResult, ResultStore
from triform.web.uploads import Uploads

EXAMPLE = re.compile(r"[a-z0-9_]{1,40}")
NAME = re.compile(r"[\w.\- ]{1,100}")
MAX_DEPTH, MAX_SUBFOLDERS = 3, 500
PREFIXES = ("upload", "folder", "run", "result", "input", "example")
EXAMPLES = Path(__file__).parent / "static"
"""Folder of the images that come with the application."""


class NotAllowed(UsageError):
    """A reference to something that is not there or may not be read."""


class Access:
    """Looks references up.

    Args:
        folders: Folders named on the command line.
        runs_dir: Folder of the runs.
        uploads: Uploaded files.
        store: Results.
        models: Names of pretrained models that were named on the command line.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        runs_dir: Path,
        uploads: Uploads,
        store: ResultStore,
        models: Sequence[str] = (),
    ):
        self.folders: dict[str, Path] = {}
        for folder in folders:
            path = folder.resolve()
            name = base = path.name or "folder"
            count = 1
            while name in self.folders:
                count += 1
                name = f"{base} {count}"
            self.folders[name] = path
        self.runs_dir, self.uploads, self.store = runs_dir.absolute(), uploads, store
        self.models = tuple(models)

    def is_reference(self, text: str) -> bool:
        """Whether a text names something by one of the prefixes."""
        return text.partition(":")[0] in PREFIXES and ":" in text

    def resolve(self, text: str) -> Path:
        """The file or folder of a reference.

        Raises:
            NotAllowed: Not there, or outside of what may be read.
        """
        kind, _, name = text.partition(":")
        try:
            if kind == "upload":
                return self.uploads.path(name)
            if kind == "folder":
                return self._in_folder(name)
            if kind == "run":
                return self.run(name)
            if kind == "example" and EXAMPLE.fullmatch(name):
                return (EXAMPLES / f"example_{name}.webp").resolve(strict=True)
            if kind == "result":
                result, _, file = name.partition("/")
                return self.store.file(result, file)
            if kind == "input":
                result, _, file = name.partition("/")
                return self.store.input(result, file)
        except OSError as error:  # its own message says where the folder lies
            raise NotAllowed(f"{shorten(text)}: not there, or not readable") from error
        except (NoSuchResult, ValueError) as error:
            raise NotAllowed(f"{shorten(text)}: {error}") from error
        known = ", ".join(f"{prefix}:..." for prefix in PREFIXES)
        raise NotAllowed(f"{shorten(text)}: not something that can be named here; known: {known}")

    def _in_folder(self, name: str) -> Path:
        """A path in one of the named folders; links that lead out of it are not followed."""
        first, _, rest = name.partition("/")
        if first not in self.folders:
            known = ", ".join(self.folders) or "none; start the server with --folder"
            raise NotAllowed(f"folder:{shorten(first)}: not one of the named folders: {known}")
        root = self.folders[first]
        parts = PurePosixPath(rest).parts
        if rest.startswith("/") or ".." in parts or "\\" in rest or "\0" in rest:
            raise NotAllowed(f"folder:{shorten(name)}: leads out of the folder")
        path = root.joinpath(*parts).resolve(strict=True)
        if path != root and root not in path.parents:
            raise NotAllowed(f"folder:{shorten(name)}: leads out of the folder")
        return path

    def subfolders(self) -> list[str]:
        """Named folders and those in them, as NAME/PARTS; at most 500, and three levels deep."""
        found: list[str] = []
        waiting = deque(self.folders.items())
        while waiting and len(found) < MAX_SUBFOLDERS:
            name, path = waiting.popleft()
            found.append(name)
            if name.count("/") < MAX_DEPTH:
                waiting += [(f"{name}/{each.name}", each) for each in _folders_in(path)]
        return sorted(found)

    def run(self, name: str) -> Path:
        """The directory of a training run, by SYSTEM/NAME.

        Raises:
            NotAllowed: There is no such run.
        """
        parts = name.split("/")
        if len(parts) != 2 or not all(NAME.fullmatch(part) and part[0] != "." for part in parts):
            raise NotAllowed(f"run:{shorten(name)}: no run; a run is named SYSTEM/NAME")
        path = self.runs_dir.joinpath(*parts)
        if path.is_symlink() or not (path / "config.yaml").is_file():
            raise NotAllowed(f"run:{shorten(name)}: no such run here")
        return path


def _folders_in(path: Path) -> list[Path]:
    """Folders in a folder, by name; hidden ones and links are left out."""
    try:
        with os.scandir(path) as entries:
            folders = (
                Path(each.path)
                for each in entries
                if each.is_dir(follow_symlinks=False) and not each.name.startswith(".")
            )
            return sorted(itertools.islice(folders, MAX_SUBFOLDERS))
    except OSError:
        return []
