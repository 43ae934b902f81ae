"""What a setting that names a file or a folder is for: declared beside its type.

    output: Annotated[Path, Output(".png")] = Field(Path("grid.png"), description="...")

The command line records what a command wrote by it, and the web application decides by it where a
verb may write and what a request may name.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Input:
    """A file or folder that is read; with some settings also a name, such as of a data set."""


@dataclass(frozen=True)
class Output:
    """A result of the command.

    Attributes:
        suffix: Suffix of the file that is written; empty for a folder.
        or_folder: A path without a suffix is a folder, for several files.
    """

    suffix: str = ""
    or_folder: bool = False


@dataclass(frozen=True)
class Storage:
    """A place that commands share: downloads, indexes, training runs, checkpoints."""


PathRole = Input | Output | Storage


def path_role(field: FieldInfo) -> PathRole | None:
    """The role of a setting; None for one that names no file."""
    return next((each for each in field.metadata if isinstance(each, PathRole)), None)
