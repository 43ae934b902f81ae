"""Settings of a job that the server decides: where a verb writes, and where its stores lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triform.base.errors import UsageError
from triform.base.settings.flags import Flag, FlagTable, allowed_values
from triform.base.settings.path_role import Output, path_role

DECIDED = ("output", "format", "attention_maps", "index_file")
"""Settings that the server decides and that the command line of a result needs."""
SHOWN_FORMAT = "glb"
MESH_FORMATS = (SHOWN_FORMAT, "obj", "stl", "ply", "3mf")
NOT_WRITTEN = ("sheet",)
"""Outputs that a result does not need: a page shows each of its files anyhow."""


ANY_MODEL = "*"
NO_NAME = re.compile(r"[^\w.\-]+")
"""What a name of an index does not hold."""


@dataclass(frozen=True)
class ServerFolders:
    """Folders that the server decides about.

    Attributes:
        runs: Of training runs.
        datasets: Of data sets.
        galleries: Of built galleries.
    """

    runs: Path
    datasets: Path
    galleries: Path


def server_values(
    system: str,
    table: FlagTable,
    folder: Path,
    server_folders: ServerFolders,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Settings that the server decides.

    Args:
        system: Name of the system.
        table: Flags of the verb.
        folder: Folder of the result: outputs go into `files`.
        server_folders: Folders of the server.
        values: Settings of the request, by dotted name.

    Returns:
        Dotted name -> value.

    Raises:
        UsageError: An index without the folders that it is named by.
    """
    names = {flag.path[-1] for flag in table.flags}
    # A grid or a single mesh has no room for all stages and formats.
    takes_folder = bool(names & {"size_mm", "show_stages"})
    decided: dict[str, Any] = {}
    for flag in table.flags:
        name, leaf, role = ".".join(flag.path), flag.path[-1], path_role(flag.field)
        if isinstance(role, Output) and leaf not in NOT_WRITTEN:
            path = output_path(flag, role, folder / "files", takes_folder=takes_folder)
            decided[name] = str(path)
            continue
        match leaf:
            case "format" if "size_mm" in names:
                known = set(allowed_values(flag.field.annotation))
                formats = [each for each in MESH_FORMATS if each in known]
                decided[name] = formats if flag.takes_many else SHOWN_FORMAT
            case "index_file":
                sources = values.get("folders") or values.get(name)
                model = values.get("model") if "model" in names else ANY_MODEL
                decided[name] = str(_index_path(server_folders.galleries, sources, model))
            case "index":
                stem = _gallery_name(system, values.get("gallery"))
                decided[name] = str(server_folders.galleries / f"{stem}.gallery")
            case "download_path":
                decided[name] = str(server_folders.datasets)
            case "runs_dir":
                decided[name] = str(server_folders.runs)
            case "checkpoint_dir" | "vocab_path":
                decided[name] = ""
            case "checkpoint" if flag.path[0] == "training":
                decided[name] = ""
    return decided


def output_path(flag: Flag, role: Output, files: Path, *, takes_folder: bool) -> Path:
    """Where a verb writes: a file of the name of its default, or a folder.

    Args:
        flag: The setting.
        role: Its role.
        files: Folder of the files of the result.
        takes_folder: Take a folder where the verb writes both.
    """
    default = flag.field.get_default()
    if not role.suffix:
        # A verb has one `output`, which may fill the whole folder.
        return files if flag.path[-1] == "output" else files / flag.path[-1]
    if role.or_folder and takes_folder:
        return files
    return files / (Path(str(default)).name if default else f"{flag.path[-1]}{role.suffix}")


def _gallery_name(system: str, sources: Any) -> str:
    """A file name for the gallery of these sources."""
    texts = [sources] if isinstance(sources, str) else sorted(sources or [])
    return NO_NAME.sub("_", " ".join([system, *texts]))[:120]


def _index_path(galleries: Path, sources: Any, model: Any) -> Path:
    """The index of the photos of these folders by a model; each model has its own.

    Args:
        galleries: Folder of the indexes.
        sources: References of the folders.
        model: Name of a model; empty for the default; `ANY_MODEL` for the newest index.

    Raises:
        UsageError: No folder is named.
    """
    texts = [sources] if isinstance(sources, str) else sorted(sources or [])
    if not texts:
        raise UsageError("no folder of photos is named; write folder:NAME")
    stem = "photos_" + NO_NAME.sub("_", " ".join(texts))[:120]
    if model == ANY_MODEL:
        # No name of a folder has an @ in it here.
        found = [*galleries.glob(f"{stem}.gallery"), *galleries.glob(f"{stem}@*.gallery")]
        return max(
            found, key=lambda path: path.stat().st_mtime, default=galleries / f"{stem}.gallery"
        )
    name = f"{stem}@{NO_NAME.sub('_', model)[:80]}" if model else stem
    return galleries / f"{name}.gallery"
