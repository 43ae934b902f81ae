"""Files that a user has sent for a job: its result has a copy of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triform.base.errors import UsageError
from triform.base.files import atomic_copy
from triform.base.printable import shorten
from triform.web.access import Access

SENT = ("upload:", "input:")
"""Prefixes of files that a user has sent."""


@dataclass(frozen=True)
class Inputs:
    """Looks references up, and copies files that were sent into the folder of the result.

    Attributes:
        access: Looks references up.
        folder: Folder of the result; copies go into `inputs`, folders of classes into `examples`.
        names: Reference -> name of its copy, of `input_names`.
    """

    access: Access
    folder: Path
    names: Mapping[str, str]

    def path(self, reference: str) -> Path:
        """The file or folder of a reference; the copy of a file that was sent.

        Raises:
            NotAllowed: Not there, or outside of what may be read.
        """
        path = self.access.resolve(reference)
        if reference not in self.names:
            return path
        target = self.folder / "inputs" / self.names[reference]
        atomic_copy(path, target, link=True)
        return target

    def folder_of_classes(self, setting: str, classes: Mapping[str, list[str]]) -> str:
        """A folder with one folder of images per class.

        Args:
            setting: Name of the setting, for messages.
            classes: Name of a class -> references of its images.

        Raises:
            UsageError: A reference is none.
        """
        root = self.folder / "examples"
        for title, references in classes.items():
            (root / title).mkdir(parents=True, exist_ok=True)
            for reference in references:
                if not self.access.is_reference(reference):
                    raise UsageError(
                        f"{setting}: {shorten(reference)!r} is not taken: send an image and write "
                        "upload:ID"
                    )
                path = self.path(reference)
                if not path.is_file():
                    raise UsageError(f"{setting}: {shorten(reference)!r} is no image; send one")
                atomic_copy(path, root / title / path.name, link=True)
        return str(root)


def input_names(values: Mapping[str, Any], access: Access) -> dict[str, str]:
    """Reference -> name of the copy of each file that was sent; no two have the same name."""
    names: dict[str, str] = {}
    for reference in _sent(values):
        if reference in names:
            continue
        path = access.resolve(reference)
        name, count = path.name, 1
        while name.lower() in {each.lower() for each in names.values()}:
            count += 1
            name = f"{path.stem} {count}{path.suffix}"
        names[reference] = name
    return names


def lasting(values: Mapping[str, Any], access: Access, result: str) -> dict[str, Any]:
    """Values in which an upload, which is deleted some day, is the copy in the result."""
    names = input_names(values, access)

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(each) for each in value]
        if isinstance(value, dict):
            return {name: replaced(each) for name, each in value.items()}
        if isinstance(value, str) and value in names:
            return f"input:{result}/{names[value]}"
        return value

    return {key: replaced(value) for key, value in values.items()}


def _sent(value: Any) -> Iterator[str]:
    """References of files that were sent, in the order of the values."""
    if isinstance(value, str):
        if value.startswith(SENT):
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _sent(each)
    elif isinstance(value, list):
        for each in value:
            yield from _sent(each)
