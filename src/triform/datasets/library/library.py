"""An opened shape library."""

from __future__ import annotations

from collections.abc import Iterable

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import printable
from triform.datasets.library.foreign import find_objects
from triform.datasets.library.layout import (
    CAPTIONS,
    METADATA,
    Captions,
    LibraryObject,
    read_captions,
)
from triform.datasets.library.store import Store

logger = get_logger(__name__)


class Library:
    """An opened library: its tables, and access to its files.

    Attributes:
        root: folder or URL.
        store: access to the files.
        objects: sorted by id.
        captions: captions of each object.
    """

    def __init__(self, store: Store, objects: Iterable[LibraryObject], captions: Captions) -> None:
        self.root, self.store, self.captions = store.root, store, captions
        self.objects = sorted(objects, key=lambda entry: entry.object_id)

    @classmethod
    def open(cls, root: str) -> Library:
        """Read the tables of a library.

        A library of another program, without our `metadata.json`, is read by its file names.

        Args:
            root: a folder, or any URL that fsspec supports.

        Raises:
            UserError: there is no library, or its tables cannot be read.
        """
        store = Store(root)
        objects = find_objects(store)
        if objects is None:
            raise UserError(
                f"{store.root}: no {METADATA} and no objects in it, so it is no shape library; "
                "make one with `triform shapes prepare MESHES LIBRARY`"
            )
        captions = read_captions(store)
        if unknown := captions.keys() - objects.keys():
            logger.warning(
                "%s: rows of %s name %d objects that are not in the library; the first: %s",
                store.root,
                CAPTIONS,
                len(unknown),
                printable(min(unknown)),
            )
        return cls(store, objects.values(), captions)

    def __len__(self) -> int:
        return len(self.objects)

    def read_bytes(self, path: str) -> bytes:
        """Content of one file.

        Raises:
            UserError: it is missing or cannot be read.
        """
        try:
            return self.store.read_bytes(path)
        except OSError as error:
            raise UserError(
                f"{self.root}: {path} cannot be read ({error.strerror or 'it is not there'}); "
                "`triform shapes check` says what else is missing"
            ) from None
