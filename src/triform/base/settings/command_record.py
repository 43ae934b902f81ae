"""Records of commands: what was written, by which command, in a hidden folder beside it.

    OUTPUTS/.triform/20260131-120000-0123abcd.json

The command line writes one after each command that wrote a result; the page History of the web
application lists those of the folders that `triform serve --folder` names. Training runs have
directories of their own and no record.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.settings.command import CommandResult, plain, without_paths
from triform.base.settings.config import Settings, default_value
from triform.base.settings.flags import FlagTable
from triform.base.settings.path_role import Output, path_role

logger = get_logger(__name__)

FOLDER = ".triform"
OFF = "TRIFORM_NO_RECORDS"
"""Variable of the environment; where it is set no record is written."""
MAX_FILES = 500
"""Files of one command that are recorded."""
MAX_ENTRIES = 20_000
"""Files of an output folder that are looked at; of a larger one none is recorded."""
MAX_ANSWER_CHARACTERS = 200_000
MAX_NAME, MAX_COMMAND = 500, 10_000
Version = tuple[int, int, int]
"""Time of the last change, number of the file, size."""


class RecordedFile(BaseModel):
    """A file that a command wrote.

    Attributes:
        name: Path below the folder that holds `.triform`, with forward slashes.
        bytes: Its size.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1, max_length=MAX_NAME)
    bytes: int = Field(ge=0)


class CommandRecord(BaseModel):
    """One command.

    Attributes:
        system: Name of the system.
        verb: What it did.
        command: The command line.
        settings: Dotted name -> value of the settings that differ from the defaults.
        seed: Seed of everything random; None where the verb has none.
        started: Seconds since 1970; `finished` likewise.
        files: What it wrote.
        answer: What the verb returned, without arrays and objects; None if it is too long.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    system: str = Field(max_length=60)
    verb: str = Field(max_length=60)
    command: str = Field(max_length=MAX_COMMAND)
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    started: float = Field(ge=0, le=1e11, allow_inf_nan=False)
    finished: float = Field(ge=0, le=1e11, allow_inf_nan=False)
    files: tuple[RecordedFile, ...] = Field((), max_length=MAX_FILES)
    answer: Any = None


class CommandRecorder:
    """Remembers what is there before a command, to record what is new after it.

    Args:
        settings: Settings of the verb.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._outputs = [] if OFF in os.environ else list(_outputs(settings))
        self._started = time.time()
        self._before = self._files()

    def write(self, system: str, verb: str, words: Sequence[str], result: Any) -> Path | None:
        """Write the record; a folder that cannot be written costs a warning.

        Args:
            system: Name of the system.
            verb: The verb.
            words: Its flags, as typed.
            result: What it returned.

        Returns:
            The file; None where the command wrote no result.
        """
        files = {
            path: version
            for path, version in self._files().items()
            if self._before.get(path) != version
        }
        folder = next((folder for folder, _ in self._outputs if _below(files, folder)), None)
        if folder is None:
            return None
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.json"
        target = folder / FOLDER / name
        try:
            if target.parent.is_symlink():
                raise UserError("it is a link")
            command = shlex.join(["triform", system, verb, *words])
            record = CommandRecord(
                system=system,
                verb=verb,
                command=readable(command)[:MAX_COMMAND],
                settings=changed_settings(self._settings),
                seed=getattr(self._settings, "seed", None),
                started=self._started,
                finished=time.time(),
                files=tuple(_below(files, folder)),
                answer=_answer(result, files, folder),
            )
            with atomic_write(target, "w") as file:
                file.write(record.model_dump_json(indent=1))
        except (OSError, UserError, ValueError) as error:  # the command itself is done
            reason = " ".join(str(error).split())
            logger.warning("%s: no record of this command: %s", target.parent, reason)
            return None
        return target

    def _files(self) -> dict[Path, Version]:
        """Files of the outputs and what changes when they are written anew."""
        return {
            path: version
            for folder, prefix in self._outputs
            for path, version in _versions(folder, prefix).items()
        }


def changed_settings(settings: Settings) -> dict[str, Any]:
    """Dotted name -> value of the settings that differ from the defaults, as plain data."""
    changed = {}
    for flag in FlagTable(type(settings)).flags:
        value = readable(_value(settings, flag.path))
        is_required = flag.field.is_required()
        if is_required or value != readable(default_value(type(settings), flag.path)):
            changed[".".join(flag.path)] = value
    return changed


def readable(value: Any) -> Any:
    """Settings as plain data whose texts are UTF-8: a name of a file may be any bytes."""
    if isinstance(value, Mapping):
        return {str(name): readable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [readable(each) for each in value]
    if isinstance(value, str | Path):
        return str(value).encode(errors="surrogateescape").decode(errors="replace")
    return value


def _value(settings: Settings, path: tuple[str, ...]) -> Any:
    """Value of a setting."""
    value: Any = settings
    for part in path:
        value = getattr(value, part)
    return value


def _outputs(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Of each output that is set its folder, and how the names of its files begin in it.

    Several shapes or formats of `chair.obj` are `chair_001.obj`, `chair.glb`.
    """
    for flag in FlagTable(type(settings)).flags:
        role, value = path_role(flag.field), _value(settings, flag.path)
        if not isinstance(role, Output) or not value:
            continue
        path = Path(value).absolute()
        is_folder = not role.suffix or (role.or_folder and (not path.suffix or path.is_dir()))
        yield (path, "") if is_folder else (path.parent, path.stem)


def _versions(folder: Path, prefix: str) -> dict[Path, Version]:
    """Files in a folder, or all below it where no prefix is given; hidden ones are left out."""
    found: dict[Path, Version] = {}
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.startswith(prefix):
                        continue
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found[Path(entry.path)] = status.st_mtime_ns, status.st_ino, status.st_size
                    elif not prefix and entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    if len(found) > MAX_ENTRIES:
                        return {}
        except OSError:
            continue
    return found


def _below(files: Mapping[Path, Version], folder: Path) -> list[RecordedFile]:
    """The files below a folder, by name."""
    found = sorted(path for path in files if folder in path.parents)[:MAX_FILES]
    names = {path: readable(path.relative_to(folder).as_posix()) for path in found}
    return [
        RecordedFile(name=name, bytes=files[path][-1])
        for path, name in names.items()
        if len(name) <= MAX_NAME
    ]


def _answer(result: Any, files: Mapping[Path, Version], folder: Path) -> Any:
    """What a verb returned as plain data; None if it is too long for a record."""
    data = result.data if isinstance(result, CommandResult) else result
    names = {
        spelling: path.relative_to(folder).as_posix()
        for path in files
        if folder in path.parents
        for spelling in (str(path), os.path.relpath(path))
    }
    answer = readable(without_paths(_named(plain(data), names), folder))
    return answer if len(json.dumps(answer)) <= MAX_ANSWER_CHARACTERS else None


def _named(value: Any, names: Mapping[str, str]) -> Any:
    """Plain data in which a path of a written file is its name in the record.

    Args:
        value: What a verb returned; whatever JSON does not have becomes a text.
        names: Path as a verb writes it -> name.
    """
    if isinstance(value, Mapping):
        return {str(name): _named(each, names) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_named(each, names) for each in value]
    if isinstance(value, str | Path):
        return names.get(os.path.normpath(value), value)
    is_number = value is None or isinstance(value, int | float) or getattr(value, "ndim", None) == 0
    return value if is_number else str(value)
